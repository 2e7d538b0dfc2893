// Another region, from the pages of this one's server.
import { expect, test } from './lab';

test('a job of another region is found, its log followed, and stopped', async ({ page }) => {
  await page.goto('/ui/jobs');
  await expect(page.getByRole('link', { name: 'counter', exact: true })).toHaveCount(0);
  await page.goto('/ui/servers');
  await page.getByRole('navigation', { name: 'Region' }).getByRole('link', { name: 'west' }).click();
  await expect(page.locator('header.topbar')).toContainText('west');
  await page.goto('/ui/jobs');
  await expect(page.getByRole('link', { name: 'counter', exact: true })).toBeVisible();
  // Its changes are told as they come, through this region's server.
  await expect(page.locator('.live')).toHaveText(/^Live/);

  await page.goto(`/ui/allocations/${process.env.TARPAN_ALLOC}?tab=logs`);
  const lines = page.getByRole('log').locator('.l');
  await expect(lines.first()).toBeVisible();
  const before = await lines.count();
  await expect.poll(async () => lines.count()).toBeGreaterThan(before);

  await page.goto('/ui/jobs/counter');
  await page.getByRole('button', { name: /^Stop/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^Stop/ }).click();
  await expect(page.getByText('counter is being stopped')).toBeVisible();
  await expect(page.locator('.page-head')).toContainText('Stopped', { timeout: 30_000 });
});
