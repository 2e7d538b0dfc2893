// The first demo, wholly in the browser: from an empty cluster to a company at work and back.
import { allocs, editor, expect, jobFile, live, markDocument, open, paste, plan, sameDocument, test, ticker } from './lab';
import type { Page } from '@playwright/test';

test.describe.configure({ mode: 'serial' });

/** Runs what the editor holds, and watches it in the same page until it is deployed. */
async function runAndWatch(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(plan(page).getByRole('region', { name: 'Deployment' })).toContainText('Deployment of version 0');
  await expect(plan(page).getByText('Version 0 is deployed and healthy.')).toBeVisible({ timeout: 60_000 });
  await expect(plan(page).getByRole('table', { name: 'Allocations' })).toContainText('healthy');
}

/** Opens a job from the list of jobs. */
async function openJob(page: Page, id: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Main', exact: true }).getByRole('link', { name: /^Jobs/ }).click();
  await page.getByRole('table', { name: 'Jobs' }).getByRole('link', { name: id, exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name: id })).toBeVisible();
}

test('a job with mistakes is mended, planned, run and watched', async ({ page }) => {
  test.setTimeout(180_000);
  await open(page, '/');
  await expect(page.getByRole('heading', { name: 'No jobs yet' })).toBeVisible();
  await page.getByRole('link', { name: 'Run a job' }).first().click();
  await expect(page.getByRole('heading', { level: 1, name: 'Run a job' })).toBeVisible();

  const right = jobFile('pytechco-redis');
  const wrong = right.replace('count = 1', 'count = "many"').replace('provider = "nomad"', 'provder = "nomad"');
  const at = (text: string) => {
    const before = wrong.slice(0, wrong.indexOf(text)).split('\n');
    return `${before.length}:${(before.at(-1) ?? '').length + 1}`;
  };
  await paste(page, wrong);
  const problems = page.getByRole('region', { name: 'Problems' });
  await expect(problems.getByRole('status')).toContainText('2 errors');
  await expect(problems.getByRole('listitem').filter({ hasText: at('"many"') })).toContainText('number');
  await expect(problems.getByRole('listitem').filter({ hasText: at('provder') })).toContainText('Did you mean "provider"?');
  // The marks are CodeMirror's: a dot in the gutter, a line below the text.
  await expect(page.locator('.cm-lint-marker-error')).toHaveCount(2);
  await expect(page.locator('.cm-lintRange-error')).toHaveText(['"many"', 'provder']);
  const run = page.getByRole('button', { name: 'Run', exact: true });
  await expect(run).toBeDisabled();
  await expect(page.getByText('fix 2 errors to run')).toBeVisible();

  // A mistake is mended by a button where it is known what was meant, else where its position leads.
  await problems.getByRole('button', { name: 'Change to provider' }).click();
  await expect(await editor(page)).toBeFocused();
  await expect(page.getByText('fix 1 error to run')).toBeVisible();
  await problems.getByRole('button', { name: at('"many"') }).click();
  await page.keyboard.press('Shift+End');
  await page.keyboard.insertText('1');
  await expect(problems.getByRole('status')).not.toContainText('error');
  await expect(page.locator('.cm-lintRange-error')).toHaveCount(0);
  await expect(page.locator('.cm-lint-marker-error')).toHaveCount(0);

  await expect(plan(page)).toContainText('1 added');
  await expect(plan(page)).toContainText('A new job');
  await expect(plan(page)).toContainText('group "ptc-redis"');
  await expect(run).toBeEnabled();
  await markDocument(page);
  await runAndWatch(page);
  expect(await sameDocument(page)).toBe(true);
});

test('a template is run', async ({ page }) => {
  test.setTimeout(120_000);
  await open(page, '/ui/run');
  await editor(page);
  await page.getByText('Templates', { exact: true }).click();
  const template = process.env.TARPAN_TEMPLATES === 'raw_exec' ? 'raw_exec/pytechco-web' : 'pytechco-web';
  await page.getByRole('button', { name: template, exact: true }).click();
  await expect(await editor(page)).toContainText('static = 5000');
  await expect(plan(page)).toContainText('1 added');
  await runAndWatch(page);
  await plan(page).getByRole('link', { name: 'Open the job' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'pytechco-web' })).toBeVisible();
});

test('employees appear on the jobs page while it is open', async ({ page }) => {
  test.setTimeout(120_000);
  await open(page, '/ui/run');
  await paste(page, jobFile('pytechco-setup'));
  await expect(plan(page)).toContainText('A new job');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(plan(page)).toContainText('Ready');
  await paste(page, jobFile('pytechco-employee'));
  await expect(plan(page)).toContainText('Next launch');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(plan(page)).toContainText('Scheduled');

  await page.getByRole('navigation', { name: 'Main', exact: true }).getByRole('link', { name: /^Jobs/ }).click();
  await markDocument(page);
  const employee = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'pytechco-employee', exact: true }) });
  await expect(employee).toContainText('Scheduled');
  await employee.getByRole('button', { name: 'Show children' }).click();
  const children = page.getByRole('link', { name: /^periodic-\d+/ });
  await expect(children.first()).toBeVisible();
  const first = await children.first().textContent();
  await expect(children.first()).not.toHaveText(first ?? '', { timeout: 10_000 });
  await expect(page.getByRole('row').filter({ has: children }).filter({ hasText: 'Complete' }).first()).toBeVisible();
  expect(await sameDocument(page)).toBe(true);
});

test('an instance is dispatched, and its log is read', async ({ page }) => {
  test.setTimeout(120_000);
  await open(page, '/ui/jobs');
  await openJob(page, 'pytechco-setup');
  await page.getByRole('link', { name: 'Dispatch…' }).click();
  const dispatch = page.getByRole('button', { name: 'Dispatch', exact: true });
  await expect(page.getByText('still missing: budget')).toBeVisible();
  await expect(dispatch).toBeDisabled();
  await page.getByRole('textbox', { name: /budget.*required/ }).fill('200');
  await expect(page.getByText('still missing')).toHaveCount(0);
  await expect(page.getByText(/tarpan job dispatch -meta '?budget=200'? pytechco-setup/)).toBeVisible();
  await dispatch.click();

  await expect(page).toHaveURL(/pytechco-setup\/dispatch-/);
  await expect(page.getByRole('heading', { level: 1, name: /pytechco-setup\/dispatch-/ })).toBeVisible();
  const allocations = page.getByRole('table', { name: 'Allocations' });
  await expect(allocations).toContainText('Complete');
  await allocations.getByRole('link').first().click();
  const log = page.getByRole('log');
  await expect(log.getByText('budget set to 200')).toBeVisible();
  await expect(page.getByRole('button', { name: 'stdout' })).toHaveAttribute('aria-pressed', 'true');
});

test('a running program is read live', async ({ page }) => {
  await open(page, '/ui/run');
  await paste(page, ticker('clock'));
  await expect(plan(page)).toContainText('1 added');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  const table = plan(page).getByRole('table', { name: 'Allocations' });
  await expect(table).toContainText('Running');
  await table.getByRole('link', { name: 'Logs' }).first().click();
  const lines = page.getByRole('log').getByText(/^tick \d+$/);
  await expect(lines.first()).toBeVisible();
  const before = await lines.count();
  await expect.poll(() => lines.count(), { message: 'more lines come' }).toBeGreaterThan(before + 2);
  await expect(lines.last()).toBeInViewport();
});

test('employees come faster after an edit; the versions tell', async ({ page }) => {
  test.setTimeout(120_000);
  await open(page, '/ui/jobs');
  await openJob(page, 'pytechco-employee');
  await page.getByRole('link', { name: 'Edit' }).click();
  await expect(await editor(page)).toContainText('0/3 * * * * * *');
  await paste(page, jobFile('faster-employee'));
  for (const text of ['0/3 * * * * * *', '0/1 * * * * * *', 'sales_engineer', 'Changes']) {
    await expect(plan(page)).toContainText(text);
  }
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(plan(page)).toContainText('Scheduled');
  await plan(page).getByRole('link', { name: 'Open the job' }).click();
  await page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name: 'Versions' }).click();
  const version = (n: number) => page.locator('section').filter({ has: page.getByRole('heading', { name: `Version ${n}`, exact: true }) });
  await expect(version(1)).toContainText('current');
  await expect(version(1)).toContainText('0/1 * * * * * *');
  await expect(version(0)).toContainText('The first version');
  await version(0).getByRole('button', { name: 'Revert to 0…' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('heading', { name: 'Revert to version 0?' })).toBeVisible();
  await expect(dialog).toContainText('tarpan job revert pytechco-employee 0');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(dialog).toBeHidden();
});

test('the company’s page shows what is in the store', async ({ page }) => {
  await open(page, '/ui/jobs');
  await openJob(page, 'pytechco-web');
  await page.getByRole('table', { name: 'Allocations' }).getByRole('link').first().click();
  await page.getByRole('link', { name: /:5000$/ }).click();
  await expect(page.getByRole('heading', { name: 'Pytechco' })).toBeVisible();
  await expect(page.getByText('won a customer').first()).toBeVisible();
  await expect(page.getByText(/Budget: \d+ · earned: \d+/)).toBeVisible();
});

test('a job that asks for too much memory says why it does not run', async ({ page }) => {
  test.setTimeout(90_000);
  const sentence = /the only client has too little memory: 9000000 MB asked, \d+ MB free of \d+ MB in all/i;
  await open(page, '/ui/run');
  await paste(page, ticker('greedy', 9_000_000));
  await expect(plan(page)).toContainText('1 can\'t be placed');
  await expect(plan(page).getByText(sentence)).toBeVisible();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(plan(page).getByRole('heading', { name: 'Why is it not running?' })).toBeVisible();
  await plan(page).getByRole('link', { name: 'Open the job' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'greedy' })).toBeVisible();
  const why = page.getByRole('main');
  await expect(why.getByRole('heading', { name: 'Why is it not running?' })).toBeVisible();
  await expect(why.getByText(sentence)).toBeVisible();
  await why.getByRole('link', { name: 'all checks' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Why is greedy not running?' })).toBeVisible();
  await expect(page.getByText('No client can take it.')).toBeVisible();
  await expect(page.getByText(sentence).first()).toBeVisible();
  const check = page.getByRole('table', { name: 'Checks' }).getByRole('row').filter({ hasText: 'memory' });
  await expect(check).toContainText('9,000,000 MiB');
  await expect(check).toContainText('short');
});

test('everything is stopped', async ({ page, request }) => {
  test.setTimeout(180_000);
  await open(page, '/ui/jobs');
  for (const id of ['greedy', 'clock', 'pytechco-employee', 'pytechco-setup', 'pytechco-web', 'pytechco-redis']) {
    if (id === 'pytechco-web') {
      // The employees who are still at work need the store.
      await expect.poll(() => working(request, 'pytechco-employee/'), { timeout: 60_000 }).toBe(0);
    }
    await openJob(page, id);
    await page.getByRole('button', { name: 'Stop…', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await expect(dialog.getByRole('heading', { name: `Stop ${id}?` })).toBeVisible();
    await dialog.getByRole('checkbox', { name: /Purge/ }).check();
    await expect(dialog).toContainText(`tarpan job stop -purge ${id}`);
    await dialog.getByRole('button', { name: `Stop ${id}` }).click();
    await expect(dialog).toBeHidden();
    await expect(page.getByRole('status').getByText(`${id} is being stopped`)).toBeVisible();
    await page.getByRole('navigation', { name: 'Main', exact: true }).getByRole('link', { name: /^Jobs/ }).click();
    await expect(page.getByRole('link', { name: id, exact: true })).toHaveCount(0);
  }
  await expect(page.getByRole('heading', { name: 'No jobs yet' })).toBeVisible();
  await expect.poll(() => working(request, ''), { message: 'nothing is left running', timeout: 60_000 }).toBe(0);
  await live(page);
});

/** How many allocations of jobs with this prefix are running or starting. */
async function working(request: Parameters<typeof allocs>[0], prefix: string): Promise<number> {
  const all: { JobID: string; ClientStatus: string }[] = await (await request.get('/v1/allocations')).json();
  return all.filter((a) => a.JobID.startsWith(prefix) && ['running', 'pending'].includes(a.ClientStatus)).length;
}
