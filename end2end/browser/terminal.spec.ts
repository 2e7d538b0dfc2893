// A terminal in a task: typed into, resized, ended, lost with its server and begun anew.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { Locator, Page } from '@playwright/test';
import { allocOf, expect, open, register, test, ticker } from './lab';

// What can't be reached while the server is down is written to the console, by the browser itself.
test.use({ expected: /WebSocket|ERR_|status of 5\d\d|: 5\d\d$/ });

/** Asks the test around this one for something, and waits until it is done. */
async function ask(what: string): Promise<void> {
  const place = (name: string) => join(process.env.TARPAN_ASKED ?? '.', name);
  writeFileSync(place(what), '');
  await expect.poll(() => existsSync(place(`${what}.done`)), { timeout: 60_000 }).toBe(true);
}

/** The lines of the terminal that is shown. */
const lines = (page: Page): Locator => page.locator('.term-screen:visible .xterm-rows');

/** Types a line into the terminal that has the keyboard. */
async function type(page: Page, line: string): Promise<void> {
  await page.keyboard.type(line);
  await page.keyboard.press('Enter');
}

/** Opens the page of terminals of a job's allocation, and a terminal. */
async function begin(page: Page, alloc: string): Promise<void> {
  await open(page, `/ui/allocations/${alloc}?tab=terminal`);
  await expect(page.getByText(`tarpan alloc exec -task clock ${alloc.slice(0, 8)} /bin/sh`)).toBeVisible();
  await page.getByRole('button', { name: 'Open terminal' }).click();
  await expect(page.getByRole('status').getByText('Open', { exact: true })).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Terminal in clock' })).toBeFocused();
}

test('a command is typed, the window resized, the keyboard given back, and the end told', async ({ page, request }) => {
  await register(request, ticker('term'));
  const alloc = await allocOf(request, 'term', 'running');
  await begin(page, alloc);
  await type(page, 'echo $((6*7)) "$NOMAD_JOB_NAME"');
  await expect(lines(page)).toContainText('42 term');

  // What a strict policy would keep out is drawn all the same: colours of the terminal's own, and any other.
  await type(page, "printf '\\033[38;2;10;200;90mcoloured\\033[0m \\033]0;named by it\\007'");
  await expect(page.getByText('named by it', { exact: true })).toBeVisible();
  await expect.poll(() => lines(page).getByText('coloured', { exact: true }).last().evaluate((e) => (e as HTMLElement).style.color)).not.toBe('');

  await type(page, 'echo before; stty size');
  const columns = async () => Number(/before\s*\n?\s*\d+ (\d+)/.exec(await lines(page).innerText())?.[1] ?? 0);
  await expect.poll(columns).toBeGreaterThan(100);
  await page.setViewportSize({ width: 700, height: 900 });
  await expect.poll(async () => {
    await type(page, 'clear; echo before; stty size');
    return columns();
  }).toBeLessThan(100);
  await page.setViewportSize({ width: 1440, height: 900 });

  await page.keyboard.press('Control+Shift+X');
  await expect(page.getByRole('button', { name: 'Close terminal 1' })).toBeFocused();
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
  expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)).toEqual([]);

  await page.getByRole('textbox', { name: 'Terminal in clock' }).focus();
  await type(page, 'exit 7');
  await expect(page.getByText('Ended exit code 7')).toBeVisible();
  await expect(lines(page)).toContainText('The command ended with exit code 7. Enter runs it again.');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('status').getByText('Open', { exact: true })).toBeVisible();
  await type(page, 'echo again $((40+4))');
  await expect(lines(page)).toContainText('again 44');
});

test('several terminals, one of a command that is not there', async ({ page, request }) => {
  const alloc = await allocOf(request, 'term', 'running');
  await begin(page, alloc);
  await page.getByRole('textbox', { name: 'Command' }).fill("/bin/sh -c 'echo \"two words\"; sleep 600'");
  await page.getByRole('button', { name: 'Open terminal' }).click();
  await expect(lines(page)).toContainText('two words');
  await page.getByRole('button', { name: '1: clock: sh' }).click();
  await page.getByRole('textbox', { name: 'Terminal in clock' }).focus();
  await type(page, 'echo first $((3*3))');
  await expect(lines(page)).toContainText('first 9');
  await page.getByRole('textbox', { name: 'Command' }).fill("echo 'open");
  await expect(page.getByText('a quote is not closed')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Open terminal' })).toBeDisabled();
  await page.getByRole('button', { name: 'Close terminal 1' }).click();
  await expect(lines(page)).toContainText('two words');
});

test('a server that goes and comes back', async ({ page, request }) => {
  test.setTimeout(180_000);
  const alloc = await allocOf(request, 'term', 'running');
  await begin(page, alloc);
  await type(page, 'mark=kept; echo $mark');
  await expect(lines(page)).toContainText('kept');
  await ask('kill');
  await expect(page.getByText(/Connection lost/)).toBeVisible();
  await expect(lines(page)).toContainText('The connection is lost, and the command has ended with it.');
  await ask('start');
  await expect(page.getByText('Server is back')).toBeVisible({ timeout: 60_000 });
  // Nothing runs until it is asked for; then it is a new shell, which knows nothing of the old one.
  await expect.poll(async () => {
    await page.getByRole('textbox', { name: 'Terminal in clock' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForTimeout(500);
    return page.getByRole('status').getByText('Open', { exact: true }).isVisible();
  }, { timeout: 60_000 }).toBe(true);
  await type(page, 'echo "<$mark>" $((11*11))');
  await expect(lines(page)).toContainText('<> 121');
});

test('by the agent of the client, which forwards its pages', async ({ page, request }) => {
  const alloc = await allocOf(request, 'term', 'running');
  await page.goto(`${process.env.TARPAN_CLIENT}/ui/allocations/${alloc}?tab=terminal`);
  await expect(page.locator('header.topbar .live')).toContainText(/Live|Every 2 s/, { timeout: 30_000 });
  await page.getByRole('button', { name: 'Open terminal' }).click();
  await expect(page.getByRole('textbox', { name: 'Terminal in clock' })).toBeFocused();
  await type(page, 'echo by the client $((5*5))');
  await expect(lines(page)).toContainText('by the client 25');
});
