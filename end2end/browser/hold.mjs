// Holds a page open, as somebody who looks at it: `node hold.mjs URL`. Says `open` once it is live, and leaves when its input ends, with
// a line a question of what the page asked meanwhile: how often, how many bytes, path.
import { chromium } from '@playwright/test';

const browser = await chromium.launch({ executablePath: process.env.TARPAN_CHROMIUM, args: ['--no-sandbox'] });
const page = await browser.newPage();
const asked = new Map();
page.on('response', async (answer) => {
  const url = new URL(answer.url());
  if (!url.pathname.startsWith('/v1')) return;
  const path = url.pathname.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, ':id');
  const size = (await answer.request().sizes().catch(() => null))?.responseBodySize ?? 0;
  const [count, bytes] = asked.get(path) ?? [0, 0];
  asked.set(path, [count + 1, bytes + size]);
});
await page.goto(process.argv[2]);
await page.locator('.topbar .live').waitFor();
process.stdout.write('open\n');
for await (const line of process.stdin) void line;
for (const [path, [count, bytes]] of asked) process.stdout.write(`${count} ${bytes} ${path}\n`);
await browser.close();
