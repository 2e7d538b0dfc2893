// Pictures of the pages for README: `cargo xtask pictures` says where to in TARPAN_PICTURES.
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { allocOf, expect, jobFile, open, paste, plan, register, test, ticker } from './lab';

const FOLDER = process.env.TARPAN_PICTURES ?? '';

test.skip(FOLDER === '', 'no folder for pictures');
test.describe.configure({ mode: 'serial' });
test.use({ viewport: { width: 1440, height: 900 }, deviceScaleFactor: 1, colorScheme: 'light' });

/** Writes what the page shows as WebP: text stays sharp, a page takes some tens of kilobytes. */
async function picture(page: Page, name: string): Promise<void> {
  await page.mouse.move(1439, 899);
  await page.evaluate(() => document.fonts.ready);
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 });
  await session.detach();
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, `${name}.webp`);
  writeFileSync(file, Buffer.from(data, 'base64'));
  console.log(`  ${file}: ${Math.round(statSync(file).size / 1000)} kB`);
}

/** Several allocations of the ticker that come up two at a time. */
const shop = (count: number) => ticker('shop').replace('group "g" {', `group "front" {
    count = ${count}
    update {
      max_parallel     = 2
      min_healthy_time = "5s"
    }
`);

test('a company at work', async ({ page, request }) => {
  test.setTimeout(120_000);
  for (const name of ['redis', 'web', 'setup', 'employee']) await register(request, jobFile(`pytechco-${name}`));
  await allocOf(request, 'pytechco-redis', 'running');
  await request.post('/v1/job/pytechco-setup/dispatch', { data: { JobID: 'pytechco-setup', Meta: { budget: '200' } } });
  await register(request, ticker('warehouse', 9_000_000));
  await register(request, shop(6));
  await allocOf(request, 'shop', 'running');
  await open(page, '/ui/jobs');
  await expect(page.getByText(/^[3-9] children$/)).toBeVisible({ timeout: 60_000 });
  await picture(page, 'jobs');
});

test('a mistake is marked', async ({ page }) => {
  await open(page, '/ui/run');
  await paste(page, jobFile('pytechco-redis').replace('provider = "nomad"', 'provder = "nomad"').replace('count = 1', 'count = "many"'));
  await expect(page.getByText('fix 2 errors to run')).toBeVisible();
  await expect(page.locator('.cm-lintRange-error')).toHaveCount(2);
  await picture(page, 'run');
});

test('a job is deployed', async ({ page, request }) => {
  await expect.poll(async () => (await (await request.get('/v1/job/shop/deployments')).json())[0]?.Status, { timeout: 60_000 }).toBe('successful');
  await open(page, '/ui/run');
  await paste(page, shop(6).replace('sleep 1', 'sleep 2'));
  await expect(plan(page)).toContainText('replaced');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await plan(page).getByRole('link', { name: 'Open the job' }).click();
  const deployment = page.getByRole('region', { name: 'Deployment' });
  await expect(deployment).toContainText('2 of 6 healthy');
  await picture(page, 'deployment');
});

test('an allocation with its log', async ({ page, request }) => {
  await open(page, `/ui/allocations/${await allocOf(request, 'pytechco-web', 'running')}`);
  await expect(page.getByRole('log').getByText('the page is on port 5000')).toBeVisible();
  await expect(page.getByRole('img', { name: /^CPU/ }).first()).toBeVisible();
  await picture(page, 'allocation');
});

test('why a job does not run', async ({ page, request }) => {
  const evals: { ID: string; Status: string }[] = await (await request.get('/v1/job/warehouse/evaluations')).json();
  await open(page, `/ui/evaluations/${evals.find((e) => e.Status === 'blocked')?.ID}`);
  await expect(page.getByText('No client can take it.')).toBeVisible();
  await picture(page, 'why-not');
});

test.describe('in the dark', () => {
  test.use({ colorScheme: 'dark' });

  test('the jobs', async ({ page }) => {
    await open(page, '/ui/jobs');
    await expect(page.getByRole('link', { name: 'pytechco-web', exact: true })).toBeVisible();
    await picture(page, 'jobs-dark');
  });
});
