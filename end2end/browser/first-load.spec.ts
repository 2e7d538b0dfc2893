// How much a browser that was never here loads until the first page is live.
import { allocOf, expect, jobFile, live, register, test, ticker } from './lab';

const MOST = 300 * 1000;

test('the first page is light', async ({ page, context, request }) => {
  const html = await (await request.get('/ui/jobs')).text();
  const wasm = /href="([^"]*app_bg\.wasm)"/.exec(html)?.[1] ?? '';
  const head = await request.head(wasm, { headers: { 'accept-encoding': 'br' } });
  if (head.headers()['content-encoding'] !== 'br') {
    const why = 'the UI is a debug build; cargo xtask ui -release makes the one that is weighed';
    // Who built the one that is shipped wants it weighed.
    expect(process.env.TARPAN_SHIPPED_UI, why).toBeUndefined();
    console.log(`  skipped: ${why}`);
    test.skip(true, why);
  }

  // It is embedded packed; who takes nothing packed gets it all the same.
  const plain = await request.get(wasm, { headers: { 'accept-encoding': 'identity' } });
  expect(plain.headers()['content-encoding']).toBeUndefined();
  expect((await plain.body()).subarray(0, 4).toString()).toBe('\0asm');

  // A small company at work: what is on the page comes with it.
  const jobs = ['pytechco-redis', 'pytechco-web', 'pytechco-setup'].map(jobFile);
  for (const text of [...jobs, ticker('clock'), ticker('calendar')]) await register(request, text);
  for (const id of ['pytechco-redis', 'pytechco-web', 'clock', 'calendar']) await allocOf(request, id, 'running');

  const network = await context.newCDPSession(page);
  await network.send('Network.enable');
  const names = new Map<string, string>();
  const sizes = new Map<string, number>();
  network.on('Network.responseReceived', ({ requestId, response }) => {
    const { pathname, search } = new URL(response.url);
    names.set(requestId, pathname + search);
  });
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const name = names.get(requestId) ?? requestId;
    // What is read again was changed by the cluster meanwhile: that is no part of a first load.
    if (!sizes.has(name)) sizes.set(name, encodedDataLength);
  });
  await page.goto('/ui/jobs');
  await live(page);
  await page.waitForLoadState('networkidle');
  const total = [...sizes.values()].reduce((sum, n) => sum + n, 0);
  const list = [...sizes].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${name}`).join('\n');
  console.log(`  ${total} bytes:\n${list}`);
  expect(total, `${total} bytes:\n${list}`).toBeLessThanOrEqual(MOST);
});
