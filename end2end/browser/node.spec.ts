// What runs on a node, looked at: files of an allocation, everything in its logs, its runs and checks, the machine under it.
import AxeBuilder from '@axe-core/playwright';
import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { allocOf, expect, open, purge, register, test } from './lab';

/** Writes what a person looks for: many files, odd names, links, bytes; output in both streams. */
const SCRIPT = `
cd "$NOMAD_TASK_DIR"
mkdir -p many; i=0; while [ $i -lt 250 ]; do : > "many/f$(printf %03d $i)"; i=$((i+1)); done
echo 'plain text, é' > note.txt
printf 'a\\000b' > program.bin
printf '<b>bold</b>' > 'page.html'
ln -s note.txt current; ln -s /etc/passwd away; mkfifo pipe
: > "$(printf 'evil\\342\\200\\256txt.exe')"
i=0; while [ $i -lt 12000 ]; do echo "line $i of the window"; i=$((i+1)); done > long.log
i=0; while [ $i -lt 400 ]; do echo "out $i $([ $((i%100)) = 0 ] && echo Needle)"; i=$((i+1)); done
echo 'needle of stderr' >&2
while :; do date >> grows.log; echo tick; sleep 1; done
`;

const job = (name: string, script: string, more = '') => `job "${name}" {
  group "g" {
    network {
      port "http" {}
    }
    ${more}
    task "work" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", <<EOT
${script.replaceAll('${', '$${')}
EOT
        ]
      }
      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}
`;

/** Looks at the page in both themes, and on a phone. */
async function inspect(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
    expect.soft(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`), colorScheme).toEqual([]);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  const wide = await page.evaluate(() => [document.documentElement, document.querySelector('main')].some((e) => e !== null && e.scrollWidth > e.clientWidth + 1));
  expect.soft(wide, 'it scrolls sideways on a phone').toBe(false);
  await page.setViewportSize({ width: 1440, height: 900 });
}

test.describe.configure({ mode: 'serial' });
test.beforeAll(async ({ playwright }) => {
  test.setTimeout(120_000);
  const request = await playwright.request.newContext({ baseURL: process.env.TARPAN_ADDR });
  await register(request, job('files', SCRIPT));
  const id = await allocOf(request, 'files', 'running');
  // Until everything is written that the tests look for.
  const logs = async () => (await request.get(`/v1/client/fs/logs/${id}?task=work&type=stdout&plain=true&origin=end&offset=100`)).text();
  await expect.poll(logs, { timeout: 60_000 }).toContain('tick');
  await request.dispose();
});

test.describe('files', () => {
  // Whether a link leads to a directory is found out by asking.
  test.use({ expected: /local%2Fcurrent/ });

  test('directories, texts, links and everything that is none', async ({ page, request }) => {
    const id = await allocOf(request, 'files', 'running');
    await open(page, `/ui/allocations/${id}`);
    await page.getByRole('link', { name: 'Files of work' }).click();
    const table = page.getByRole('table', { name: 'Files' });
    await table.getByRole('link', { name: /^local/ }).click();
    await expect(table.getByRole('link', { name: /^note\.txt/ })).toBeVisible({ timeout: 30_000 });
    await inspect(page);
    // A name that would read otherwise than it is.
    await expect(table).toContainText('evil<202E>txt.exe');
    // A pipe is shown, and not opened.
    await expect(table.getByRole('link', { name: /^pipe/ })).toHaveCount(0);

    await table.getByRole('link', { name: /^many/ }).click();
    await expect(table.getByRole('row')).toHaveCount(102);
    await page.getByRole('link', { name: 'Next page' }).click();
    await expect(table).toContainText('f100');
    await page.getByRole('navigation', { name: 'Path' }).getByRole('link', { name: 'local' }).click();

    await table.getByRole('link', { name: /^current/ }).click();
    await expect(page.getByText('plain text, é')).toBeVisible();
    await page.goBack();
    await table.getByRole('link', { name: /^program\.bin/ }).click();
    await expect(page.getByText('This is no text: 3 B.')).toBeVisible();
    await page.goBack();
    await table.getByRole('link', { name: /^page\.html/ }).click();
    await expect(page.getByText('<b>bold</b>')).toBeVisible();
    const waiting = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download page.html' }).click();
    const download = await waiting;
    expect(download.suggestedFilename()).toBe('page.html');
    expect(readFileSync(await download.path(), 'utf8')).toBe('<b>bold</b>');
  });

  test('a large file is a window at a time, and one that grows is followed', async ({ page, request }) => {
    const id = await allocOf(request, 'files', 'running');
    await open(page, `/ui/allocations/${id}?tab=files&path=/work/local/long.log`);
    const text = page.locator('pre.filetext');
    await expect(text).toContainText('line 0 of the window');
    await expect(text).not.toContainText('line 11999');
    await page.getByRole('link', { name: 'End' }).click();
    await expect(text).toContainText('line 11999 of the window');
    await page.getByRole('link', { name: 'Earlier' }).click();
    await expect(text).not.toContainText('line 11999');

    await open(page, `/ui/allocations/${id}?tab=files&path=/work/local/grows.log`);
    await page.getByRole('button', { name: 'Follow' }).click();
    const count = async () => (await page.getByRole('log', { name: 'file' }).innerText()).split('\n').length;
    await expect.poll(count).toBeGreaterThan(1);
    const before = await count();
    await expect.poll(count).toBeGreaterThan(before);
  });

  test.describe('what is not the caller\'s', () => {
    test.use({ expected: /status of 40\d|: 40\d$/ });

    test('secrets and ways out are refused, with a sentence', async ({ page, request }) => {
      const id = await allocOf(request, 'files', 'running');
      await open(page, `/ui/allocations/${id}?tab=files&path=/work/secrets`);
      await expect(page.getByText(/Reading secret file prohibited/)).toBeVisible();
      await open(page, `/ui/allocations/${id}?tab=files&path=/work/local/away`);
      await expect(page.getByText(/Path escapes the alloc directory/)).toBeVisible();
      await open(page, `/ui/allocations/${id}?tab=files&path=/work/local/gone`);
      await expect(page.getByText(/no such file or directory/)).toBeVisible();
    });
  });
});

test('a search through all that is kept, and the lines around what it finds', async ({ page, request }) => {
  const id = await allocOf(request, 'files', 'running');
  await open(page, `/ui/allocations/${id}?tab=logs`);
  await page.getByRole('searchbox', { name: 'Search all that is kept' }).fill('needle');
  await page.keyboard.press('Enter');
  const found = page.getByRole('region', { name: 'Matches' });
  await expect(found).toContainText('4 lines found in');
  await expect(found.getByRole('link')).toHaveCount(4);
  await expect(found.locator('mark').first()).toHaveText('Needle');
  await inspect(page);
  await found.getByRole('link', { name: 'out 200 Needle' }).click();
  const around = page.getByRole('region', { name: 'Lines around the match' });
  await expect(around.locator('.pin')).toHaveText('out 200 Needle');
  await expect(around).toContainText('out 201');
  await expect(page).toHaveURL(/search=needle.*at=0:\d+/);
  await page.getByRole('link', { name: 'To the newest lines' }).click();
  await expect(page.getByRole('log').getByText('tick').last()).toBeVisible();

  await page.getByRole('searchbox', { name: 'Search all that is kept' }).fill('needle');
  await page.getByRole('checkbox', { name: 'Match case' }).check();
  await page.getByRole('button', { name: 'Search', exact: true }).click();
  await expect(page.getByText('No line matches what you search for.')).toBeVisible();
  await page.getByRole('button', { name: 'stderr' }).click();
  await expect(found.getByRole('link', { name: 'needle of stderr' })).toBeVisible();
});

test('an allocation tells of its runs, its checks and its addresses', async ({ page, request }) => {
  test.setTimeout(120_000);
  const policy = 'restart {\n attempts = 10\n interval = "30m"\n delay = "2s"\n mode = "delay"\n }\n'
    + 'service {\n name = "web"\n provider = "nomad"\n port = "http"\n check {\n name = "alive"\n type = "tcp"\n interval = "1s"\n timeout = "1s"\n }\n }\n';
  await register(request, job('unsteady', 'sleep 1; exit 3', policy));
  const id = await allocOf(request, 'unsteady', 'running');
  await open(page, `/ui/allocations/${id}`);
  await expect(page.getByText(/Ended: exit code 3/).first()).toBeVisible({ timeout: 30_000 });
  await expect(page.getByText(/\d restarts?/).first()).toBeVisible();
  await expect(page.getByText('Host address')).toBeVisible();
  await expect(page.getByRole('img', { name: /^alive: last \d+ runs, \d+ failed/ })).toBeVisible({ timeout: 30_000 });
  await inspect(page);
  await purge(request, 'unsteady');
});

test('a client tells of its machine, and its metadata changes while it runs', async ({ page, request }) => {
  const [{ ID: node }]: { ID: string }[] = await (await request.get('/v1/nodes')).json();
  await open(page, `/ui/clients/${node}`);
  await expect(page.getByRole('heading', { name: 'Networks' })).toBeVisible();
  await expect(page.getByRole('heading', { name: 'Disks' })).toBeVisible();
  await expect(page.getByText(/inodes \d+ %/).first()).toBeVisible();
  await page.getByRole('link', { name: 'Attributes' }).click();
  await page.getByRole('searchbox', { name: 'Filter by name or value' }).fill('cpu.ARCH');
  await expect(page.getByRole('table', { name: 'Attributes' }).getByRole('row')).toHaveCount(3);

  await page.getByRole('textbox', { name: 'Key' }).fill('rack');
  await page.getByRole('textbox', { name: 'Value' }).fill('r 7');
  await page.getByRole('button', { name: 'Set…' }).click();
  await expect(page.getByRole('dialog').getByText(`tarpan node meta apply -node-id ${node.slice(0, 8)} 'rack=r 7'`)).toBeVisible();
  await page.getByRole('dialog').getByRole('button', { name: 'Set', exact: true }).click();
  const row = page.getByRole('table', { name: 'Meta' }).getByRole('row', { name: /^rack/ });
  await expect(row).toContainText('set while it runs');
  await inspect(page);
  await row.getByRole('button', { name: 'Take rack away…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take away' }).click();
  await expect(row).toHaveCount(0);
});
