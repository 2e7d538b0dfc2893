// Every page on a cluster at work: quiet, readable in both themes, within its width, and of use without JavaScript.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { APIRequestContext, Page } from '@playwright/test';
import { allocOf, expect, jobFile, live, open, paste, plan, purge, register, test, ticker } from './lab';

const JOBS = ['pytechco-redis', 'pytechco-web', 'pytechco-setup', 'pytechco-employee'];

/** What the pages are about; known once the cluster is at work, and kept in a file: after a failure the tests go on in a new process. */
const KEPT = join(process.env.TARPAN_JOBS ?? '.', 'ids.json');
const ids = { child: '', running: '', ended: '', evaluation: '', blocked: '', node: '' };

const SIZES = [{ width: 1440, height: 900 }, { width: 390, height: 844 }];
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** The rules that a page breaks, each with the elements that break it. */
async function broken(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  // The checker does not count text that can be edited as something that takes the focus.
  const known = (rule: string, target: string) => rule === 'scrollable-region-focusable' && target === '.cm-scroller';
  return violations.flatMap((v) => v.nodes.map((n) => ({ rule: v.id, target: n.target.join(' '), why: n.any[0]?.message ?? v.help })))
    .filter((n) => !known(n.rule, n.target))
    .map((n) => `${n.rule}: ${n.target} (${n.why})`);
}

/** How far the page scrolls sideways, with the elements that reach beyond its edge. */
async function sideways(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const wide = [document.documentElement, document.body, document.querySelector('main')]
      .filter((e) => e !== null).filter((e) => e.scrollWidth > e.clientWidth + 1);
    if (wide.length === 0) return [];
    const name = (e: Element) => `${e.tagName.toLowerCase()}.${[...e.classList].join('.')}`;
    const out = [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1);
    return [...wide.map((e) => `${name(e)} is ${e.scrollWidth} wide of ${e.clientWidth}`), ...out.slice(0, 5).map(name)];
  });
}

/** Looks at the open page in both themes and both sizes. */
async function inspect(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    expect.soft(await broken(page), `rules of accessibility, ${colorScheme}`).toEqual([]);
  }
  for (const size of SIZES) {
    await page.setViewportSize(size);
    expect.soft(await sideways(page), `sideways scrolling at ${size.width} × ${size.height}`).toEqual([]);
  }
}

/** Whether an element of the page with this text is to be seen. */
const shows = (page: Page, text: string | RegExp) => expect(page.getByRole('main').getByText(text).first()).toBeVisible();

test.describe('an empty cluster', () => {
  const empty: [string, string, string][] = [
    ['jobs', '/ui/jobs', 'No jobs yet'],
    ['services', '/ui/services', 'No services'],
    ['evaluations', '/ui/evaluations', 'No evaluations'],
  ];
  for (const [name, path, text] of empty) {
    test(`no ${name}`, async ({ page }) => {
      await open(page, path);
      await expect(page.getByRole('heading', { name: text })).toBeVisible();
      await inspect(page);
    });
  }
});

test.describe('a cluster at work', () => {
  test.beforeAll(async ({ playwright }) => {
    if (existsSync(KEPT)) {
      Object.assign(ids, JSON.parse(readFileSync(KEPT, 'utf8')));
      return;
    }
    test.setTimeout(180_000);
    const request = await playwright.request.newContext({ baseURL: process.env.TARPAN_ADDR });
    await fill(request);
    await request.dispose();
    writeFileSync(KEPT, JSON.stringify(ids));
  });

  // Lists are newest first, and a periodic job launches as long as the tests take: what has to be on their first page is any of it.
  const pages: [string, () => string, string | RegExp][] = [
    ['jobs', () => '/ui/jobs', 'pytechco-web'],
    ['jobs, filtered to nothing', () => '/ui/jobs?q=nothing', 'Nothing matches'],
    ['a job', () => '/ui/jobs/pytechco-web', 'ptc-web-task'],
    ['a job that waits', () => '/ui/jobs/greedy', 'Why is it not running?'],
    ['a periodic job', () => '/ui/jobs/pytechco-employee', 'periodic-'],
    ['a parameterized job', () => '/ui/jobs/pytechco-setup', 'budget'],
    ['a job by the link that the command line prints', () => '/ui/jobs/pytechco-web@default', 'ptc-web'],
    ['a child', () => `/ui/jobs/${ids.child}`, 'Complete'],
    ['a job: children', () => '/ui/jobs/pytechco-employee?tab=children', 'periodic-'],
    ['a job: definition', () => '/ui/jobs/pytechco-web?tab=definition', 'static = 5000'],
    ['a job: versions', () => '/ui/jobs/clock?tab=versions', 'Version 1'],
    ['a job: deployments', () => '/ui/jobs/pytechco-web?tab=deployments', 'Successful'],
    ['a job: evaluations', () => '/ui/jobs/pytechco-web?tab=evaluations', 'job submitted'],
    ['a job: allocations', () => '/ui/jobs/pytechco-web?tab=allocations', 'Running'],
    ['a job: services', () => '/ui/jobs/pytechco-web?tab=services', ':5000'],
    ['dispatch', () => '/ui/jobs/pytechco-setup?tab=dispatch', 'still missing: budget'],
    ['run', () => '/ui/run', 'Begin with a template'],
    ['run: edit', () => '/ui/run?job=pytechco-web', 'unchanged'],
    ['an allocation', () => `/ui/allocations/${ids.running}`, /^tick \d+$/],
    ['an allocation: logs', () => `/ui/allocations/${ids.running}?tab=logs`, /^tick \d+$/],
    ['an allocation: search', () => `/ui/allocations/${ids.running}?tab=logs&search=tick`, /lines found in/],
    ['an allocation: files', () => `/ui/allocations/${ids.running}?tab=files`, 'alloc'],
    ['an allocation: terminal', () => `/ui/allocations/${ids.running}?tab=terminal`, 'Open terminal'],
    ['an allocation: placement', () => `/ui/allocations/${ids.running}?tab=placement`, 'Why here'],
    ['an allocation: events', () => `/ui/allocations/${ids.running}?tab=events`, 'Started'],
    ['an allocation that ended', () => `/ui/allocations/${ids.ended}`, 'budget set to 200'],
    ['clients', () => '/ui/clients', 'Ready'],
    ['a client', () => `/ui/clients/${ids.node}`, 'reserved of'],
    ['a client: allocations', () => `/ui/clients/${ids.node}?tab=allocations`, /clock|ptc-employee/],
    ['a client: attributes', () => `/ui/clients/${ids.node}?tab=attributes`, 'cpu.arch'],
    ['a client: events', () => `/ui/clients/${ids.node}?tab=events`, /registered/i],
    ['servers', () => '/ui/servers', 'leader'],
    ['evaluations', () => '/ui/evaluations', /job submitted|periodic launch/],
    ['an evaluation', () => `/ui/evaluations/${ids.evaluation}`, 'Everything was placed.'],
    ['an evaluation that waits', () => `/ui/evaluations/${ids.blocked}`, 'No client can take it.'],
    ['services', () => '/ui/services', 'redis-svc'],
    ['topology', () => '/ui/topology', 'CPU'],
  ];
  for (const [name, path, text] of pages) {
    test(`page: ${name}`, async ({ page }) => {
      await open(page, path());
      await shows(page, text);
      await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1);
      await inspect(page);
    });
  }

  test('an evaluation names the check that keeps each client out', async ({ page }) => {
    await open(page, `/ui/evaluations/${ids.blocked}`);
    const clients = page.getByRole('table', { name: 'Client by client, as things stand' });
    await expect(clients.getByRole('row')).toHaveCount(2);
    await expect(clients).toContainText(/memory: [\d,]+ of 9,000,000 MiB/);
    await expect(clients.getByRole('img', { name: 'passed' })).toHaveCount(4);
  });

  test.describe('what is opened', () => {
    test('the palette', async ({ page }) => {
      await open(page, '/ui/jobs');
      await page.keyboard.press('ControlOrMeta+k');
      await page.getByRole('combobox', { name: 'Search or run a command' }).fill('clock');
      const found = page.getByRole('listbox', { name: 'Results' }).getByRole('option', { name: /^clock/ });
      await expect(found.first()).toBeVisible();
      await inspect(page);
      await found.first().click();
      await expect(page.getByRole('heading', { level: 1, name: 'clock' })).toBeVisible();
    });

    test('a question before an action', async ({ page }) => {
      await open(page, '/ui/jobs/clock');
      await page.getByRole('button', { name: /^Stop/ }).click();
      await expect(page.getByRole('dialog').getByText('tarpan job stop clock')).toBeVisible();
      await inspect(page);
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    });

    test('what several jobs can do', async ({ page }) => {
      await open(page, '/ui/jobs');
      await page.getByRole('checkbox', { name: 'Select clock' }).check();
      await page.getByRole('checkbox', { name: 'Select greedy' }).check();
      const bar = page.getByRole('region', { name: 'Actions' });
      await expect(bar).toContainText('2 selected');
      await inspect(page);
      await page.setViewportSize(SIZES[0]);
      await bar.getByRole('button', { name: /^Stop/ }).click();
      await expect(page.getByRole('dialog').getByText(/tarpan job stop (clock|greedy); tarpan job stop/)).toBeVisible();
      await inspect(page);
    });

    test('the filters of a phone', async ({ page }) => {
      await page.setViewportSize(SIZES[1]);
      await open(page, '/ui/jobs');
      await page.getByText('Filters', { exact: true }).click();
      await expect(page.getByRole('checkbox', { name: /^service/ }).first()).toBeVisible();
      expect.soft(await broken(page)).toEqual([]);
      expect.soft(await sideways(page)).toEqual([]);
    });

    test('the templates, and a variable that has to be given a value', async ({ page }) => {
      await open(page, '/ui/run');
      await page.getByText('Templates', { exact: true }).click();
      await expect(page.getByRole('button', { name: 'second/tetris' }).first()).toBeVisible();
      await inspect(page);
      await page.setViewportSize(SIZES[0]);
      await page.getByText('Templates', { exact: true }).click();
      const declared = 'variable "copies" {\n  type        = number\n  description = "How many run."\n}\n';
      await paste(page, declared + ticker('wanted').replace('group "g" {', 'group "g" {\n    count = var.copies'));
      const form = page.getByRole('region', { name: 'Variables' });
      await expect(form.getByText('How many run.')).toBeVisible();
      await expect(page.getByText('fix 1 error to run')).toBeVisible();
      await form.getByRole('textbox', { name: /^copies/ }).fill('3');
      await expect(plan(page)).toContainText('3 added');
      await inspect(page);
    });
  });

  test.describe('what is not there', () => {
    test.use({ expected: /404/ });

    test('an unknown job', async ({ page }) => {
      const answer = await page.goto('/ui/jobs/no-such-job');
      expect(answer?.status()).toBe(404);
      await live(page);
      await expect(page.getByRole('heading', { name: 'Not found' })).toBeVisible();
      await expect(page.getByRole('link', { name: 'To the jobs' })).toBeVisible();
      await inspect(page);
    });

    test('an unknown address', async ({ page }) => {
      const answer = await page.goto('/ui/no/such/page');
      expect(answer?.status()).toBe(404);
      await live(page);
      await expect(page.getByRole('heading', { level: 2, name: 'No such page' })).toBeVisible();
      await inspect(page);
    });
  });

  test.describe('without JavaScript', () => {
    // Chromium complains of the program that it was told to load early and may not run.
    test.use({ javaScriptEnabled: false, expected: /\.js: csp$|was preloaded using link preload/ });

    const plain = pages.filter(([name]) => !['run', 'run: edit', 'dispatch'].includes(name));
    test('every page shows its data', async ({ page }) => {
      test.setTimeout(120_000);
      for (const [name, path, text] of plain) {
        await test.step(name, async () => {
          await page.goto(path());
          await expect.soft(page.getByRole('main').getByText(text).first(), name).toBeVisible({ timeout: 5_000 });
        });
      }
    });

    test('links and filters work', async ({ page }) => {
      await page.goto('/ui/jobs?q=web');
      const jobs = page.getByRole('table', { name: 'Jobs' });
      await expect(jobs.getByRole('link', { name: 'pytechco-redis', exact: true })).toHaveCount(0);
      await jobs.getByRole('link', { name: 'pytechco-web', exact: true }).click();
      await page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name: /^Definition/ }).click();
      await shows(page, 'static = 5000');
      await page.getByRole('link', { name: '中文' }).click();
      await expect(page.locator('html')).toHaveAttribute('lang', 'zh-CN');
    });
  });

  test.describe('in Chinese', () => {
    test('by the link', async ({ page }) => {
      await open(page, '/ui/jobs');
      await page.getByRole('link', { name: '中文' }).click();
      await expect(page.getByRole('heading', { level: 1, name: '作业' })).toBeVisible();
      await live(page);
      await expect(page.locator('html')).toHaveAttribute('lang', 'zh-CN');
      await expect(page.getByRole('link', { name: '运行作业' })).toBeVisible();
      await page.getByRole('navigation', { name: '主导航', exact: true }).getByRole('link', { name: '客户端' }).click();
      await expect(page.getByRole('heading', { level: 1, name: '客户端' })).toBeVisible();
      await page.getByRole('link', { name: 'English' }).click();
      await expect(page.getByRole('heading', { level: 1, name: 'Clients' })).toBeVisible();
    });

    test('by the cookie', async ({ page, context, baseURL }) => {
      await context.addCookies([{ name: 'tarpan_lang', value: 'zh-CN', url: baseURL ?? '' }]);
      await open(page, '/ui/jobs/greedy');
      await expect(page.getByRole('heading', { name: '为什么没有运行？' })).toBeVisible();
      await inspect(page);
    });
  });

  test('a change made elsewhere is on the page within two seconds', async ({ page, request }) => {
    await open(page, '/ui/jobs');
    const line = page.getByRole('table', { name: 'Jobs' }).getByRole('link', { name: 'elsewhere', exact: true });
    await expect(line).toHaveCount(0);
    await register(request, ticker('elsewhere'));
    await expect(line).toBeVisible({ timeout: 2_000 });
    await allocOf(request, 'elsewhere', 'running');
    await purge(request, 'elsewhere');
    await expect(line).toHaveCount(0, { timeout: 2_000 });
  });
});

/** Puts the demo's company to work, and beside it a job in two versions and one that does not fit. */
async function fill(request: APIRequestContext): Promise<void> {
  for (const name of JOBS) await register(request, jobFile(name));
  await register(request, ticker('clock'));
  ids.running = await allocOf(request, 'clock', 'running');
  await register(request, ticker('clock').replace('cpu    = 20', 'cpu    = 21'));
  await register(request, ticker('greedy', 9_000_000));
  await allocOf(request, 'pytechco-redis', 'running');
  await allocOf(request, 'pytechco-web', 'running');
  const dispatched = await request.post('/v1/job/pytechco-setup/dispatch', { data: { JobID: 'pytechco-setup', Meta: { budget: '200' } } });
  ids.child = (await dispatched.json()).DispatchedJobID;
  ids.ended = await allocOf(request, ids.child, 'complete');
  const evaluations = async (job: string): Promise<{ ID: string; Status: string }[]> => (await request.get(`/v1/job/${job}/evaluations`)).json();
  await expect.poll(async () => {
    ids.evaluation = (await evaluations('pytechco-web')).find((e) => e.Status === 'complete')?.ID ?? '';
    ids.blocked = (await evaluations('greedy')).find((e) => e.Status === 'blocked')?.ID ?? '';
    ids.node = (await (await request.get('/v1/nodes')).json())[0].ID;
    const web: { Status: string }[] = await (await request.get('/v1/job/pytechco-web/deployments')).json();
    return ids.evaluation !== '' && ids.blocked !== '' && web[0]?.Status === 'successful';
  }, { message: 'the cluster is at work', timeout: 60_000 }).toBe(true);
  // The newer version replaces the first allocation of the clock.
  await expect.poll(async () => {
    const found: { ID: string; ClientStatus: string; JobVersion: number }[] = await (await request.get('/v1/job/clock/allocations')).json();
    ids.running = found.find((a) => a.ClientStatus === 'running' && a.JobVersion === 1)?.ID ?? '';
    return ids.running;
  }, { message: 'the clock runs in its second version', timeout: 60_000 }).not.toBe('');
}
