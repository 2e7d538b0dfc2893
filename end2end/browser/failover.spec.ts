// A page stays open while the server that it talks to dies, and another one answers at the same address.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from './lab';

// What can't be reached is written to the console, by the browser itself.
test.use({ expected: /WebSocket|ERR_|status of 5\d\d|: 5\d\d$/ });

/** Asks the test around this one for something, and waits until it is done. */
async function ask(what: string): Promise<void> {
  const place = (name: string) => join(process.env.TARPAN_ASKED ?? '.', name);
  writeFileSync(place(what), '');
  await expect.poll(() => existsSync(place(`${what}.done`)), { timeout: 60_000 }).toBe(true);
}

test('the list of jobs is shown on, says that it waits, and goes on', async ({ page }) => {
  test.setTimeout(180_000);
  await page.goto('/ui/jobs');
  const link = page.locator('header.topbar .live');
  await expect(link).toContainText('Live');
  const before = page.getByRole('link', { name: 'before', exact: true });
  const old = page.getByText('The server does not answer. What is shown may be old.');
  await expect(before).toBeVisible();
  await page.evaluate(() => document.body.setAttribute('data-same', 'yes'));

  await ask('kill');
  await expect(link).toContainText(/Reconnecting|Every 2 s/);
  await expect(before).toBeVisible();
  // Long enough that the page has asked in vain.
  await expect(old).toBeVisible({ timeout: 30_000 });
  await expect(before).toBeVisible();

  await ask('turn');
  await expect(page.getByRole('link', { name: 'after', exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(link).toContainText('Live', { timeout: 60_000 });
  await ask('write');
  await expect(page.getByRole('link', { name: 'later', exact: true })).toBeVisible({ timeout: 5_000 });
  await expect(old).toHaveCount(0);
  expect(await page.evaluate(() => document.body.getAttribute('data-same')), 'it is the same page').toBe('yes');
});
