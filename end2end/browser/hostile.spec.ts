// Names that strangers choose are text, wherever they stand. Everything that the API accepts is given a hostile one, then every page is
// opened: as the server renders it, and live. The agent's own node has one too.
import type { APIRequestContext, BrowserContext, Page } from '@playwright/test';
import { allocOf, allocs, expect, live, test } from './lab';

// What is not there is said so; a file that no page needs yet is no fault.
test.use({ expected: /404|preload/ });

/** Without blanks, so that it may be a name. */
const HOSTILE = '</title></script><script/src=/v1/regions></script><img/src=/x/onerror=pwn()>"\'><!--]]>{{7*7}}${x}\u202e\u2028javascript:pwn()';
/** The same as a name, which can't hold what nobody sees. */
const NAME = HOSTILE.replace(/[\u202e\u2028]/g, '');
const URL = 'javascript:pwn()//http://x';

type Job = Record<string, any>;

/** A service that runs; `id` and the fields of `set` are all that two of them differ in. */
function job(id: string, set: (job: Job) => void): Job {
  const made: Job = {
    ID: id, Name: id, Type: 'service', Datacenters: ['*'], Meta: { a: 'b' },
    TaskGroups: [{
      Name: 'g', Count: 1, Meta: {}, Services: [{ Name: 'service', Provider: 'nomad', Tags: ['tag'], PortLabel: '', Address: '127.0.0.1' }],
      RestartPolicy: { Attempts: 0, Mode: 'fail', Interval: 60e9, Delay: 1e9 }, ReschedulePolicy: { Attempts: 0, Unlimited: false },
      Tasks: [{
        Name: 't', Driver: 'raw_exec', Env: {}, Meta: {}, Templates: [], Resources: { CPU: 20, MemoryMB: 16 },
        Config: { command: '/bin/sh', args: ['-c', 'while true; do printenv LINE; sleep 1; done'] },
      }],
    }],
  };
  set(made);
  return made;
}

const group = (made: Job) => made.TaskGroups[0];
const task = (made: Job) => group(made).Tasks[0];

/** Everything of a job that somebody may write as they like. */
const FIELDS: Record<string, (made: Job) => void> = {
  id: (j) => { j.ID = NAME; },
  name: (j) => { j.Name = NAME; },
  meta: (j) => { j.Meta = { [NAME]: HOSTILE }; },
  plainMeta: (j) => { j.Meta.plain = HOSTILE; },
  description: (j) => { j.UI = { Description: `[x](${URL}) ${HOSTILE}`, Links: [] }; },
  link: (j) => { j.UI = { ...j.UI, Links: [{ Label: HOSTILE, Url: URL, URL }] }; },
  group: (j) => { group(j).Name = NAME; },
  groupMeta: (j) => { group(j).Meta = { plain: HOSTILE }; },
  task: (j) => { task(j).Name = NAME; },
  taskMeta: (j) => { task(j).Meta = { plain: HOSTILE }; },
  signal: (j) => { task(j).KillSignal = HOSTILE; },
  env: (j) => { task(j).Env.LINE = HOSTILE; },
  template: (j) => { task(j).Templates = [{ EmbeddedTmpl: HOSTILE.replace('{{7*7}}', ''), DestPath: 'local/t' }]; },
  service: (j) => { group(j).Services[0].Name = NAME; },
  tags: (j) => { group(j).Services[0].Tags = [HOSTILE]; },
  serviceMeta: (j) => { group(j).Services[0].Meta = { plain: HOSTILE }; },
  address: (j) => { group(j).Services[0].Address = NAME; },
};

async function register(request: APIRequestContext, made: Job): Promise<boolean> {
  const data = { Job: made, Submission: { Source: `# ${HOSTILE}\n`, Format: 'hcl2', Variables: HOSTILE } };
  return (await request.put('/v1/jobs', { data })).ok();
}

const v1 = (id: string, rest = '') => `/v1/job/${encodeURIComponent(id)}${rest}`;

/** The fields that may hold hostile text: each is tried alone. What is refused can't be shown. */
async function accepted(request: APIRequestContext): Promise<string[]> {
  const found: string[] = [];
  for (const [name, set] of Object.entries(FIELDS)) {
    const made = job(`try-${name}`, set);
    group(made).Count = 0;
    if (await register(request, made)) found.push(name);
    await request.delete(v1(made.ID, '?purge=true'));
  }
  return found;
}

/** Jobs with hostile names in all their fields: one runs, one fails, one can't be placed, one is dispatched. Gives their ids. */
async function populate(request: APIRequestContext): Promise<Record<'runs' | 'fails' | 'waits' | 'parent', string>> {
  const fields = await accepted(request);
  console.log(`  accepted with hostile text: ${fields.join(', ')}`);
  expect(fields, 'the API takes such names').toEqual(expect.arrayContaining(['name', 'plainMeta', 'env', 'tags']));
  const all = (made: Job) => fields.forEach((name) => FIELDS[name](made));
  const named = (suffix: string, more: (made: Job) => void) => job('hostile', (made) => {
    all(made);
    made.ID += suffix;
    more(made);
  });
  // A task that runs has a signal that there is, and directories that can be made.
  const runs = named('', (j) => { task(j).KillSignal = ''; group(j).Name = 'g'; task(j).Name = 't'; });
  const fails = named('-fails', (j) => { j.Type = 'batch'; group(j).Name = 'g'; task(j).KillSignal = ''; task(j).Config = { command: `/nowhere/${HOSTILE}` }; });
  const waits = named('-waits', (j) => { j.Constraints = [{ LTarget: '${attr.kernel.name}', RTarget: HOSTILE, Operand: '=' }]; });
  const parent = named('-parent', (j) => {
    j.Type = 'batch';
    j.ParameterizedJob = { Payload: 'optional', MetaRequired: ['plain'], MetaOptional: [] };
    j.Meta = {};
    task(j).Config = { command: '/bin/sh', args: ['-c', 'printenv LINE'] };
  });
  for (const made of [runs, fails, waits, parent]) expect(await register(request, made), made.ID).toBe(true);
  // A second version, with a tag of its own.
  runs.Meta.second = HOSTILE;
  expect(await register(request, runs)).toBe(true);
  await request.put(v1(runs.ID, `/versions/${encodeURIComponent(NAME)}/tag`), { data: { Version: 0, Name: NAME, Description: HOSTILE } });
  const dispatch = { Meta: { plain: HOSTILE }, Payload: Buffer.from(HOSTILE).toString('base64') };
  await request.put(v1(parent.ID, '/dispatch'), { data: dispatch });
  await request.post('/v1/client/metadata', { data: { Meta: { plain: HOSTILE } } });
  await allocOf(request, runs.ID, 'running');
  await allocOf(request, fails.ID, 'failed');
  return { runs: runs.ID, fails: fails.ID, waits: waits.ID, parent: parent.ID };
}

/** The address of a job's page, as our links have it. */
function jobPage(id: string, tab = ''): string {
  const query = [tab && `tab=${tab}`, id.includes('@') && 'namespace=default'].filter(Boolean).join('&');
  return `/ui/jobs/${encodeURIComponent(id)}${query && `?${query}`}`;
}

const TABS = ['', 'children', 'definition', 'versions', 'deployments', 'evaluations', 'allocations', 'services', 'dispatch'];

async function everyPage(request: APIRequestContext, ids: Record<'runs' | 'fails' | 'waits' | 'parent', string>): Promise<string[]> {
  const hostile = encodeURIComponent(HOSTILE);
  const pages = ['/ui/jobs', `/ui/jobs?q=${hostile}&status=${hostile}`, '/ui/services', '/ui/evaluations', `/ui/evaluations?status=${hostile}`,
    '/ui/clients', '/ui/servers', '/ui/topology', `/ui/${hostile}`, `/ui/allocations/${hostile}`, `/ui/jobs/no-${hostile}`];
  pages.push(...TABS.map((tab) => jobPage(ids.runs, tab)), ...[ids.fails, ids.waits, ids.parent].map((id) => jobPage(id)));
  pages.push(jobPage(ids.parent, 'children'), jobPage(ids.parent, 'dispatch'), `/ui/run?job=${encodeURIComponent(ids.runs)}`);
  for (const id of [ids.runs, ids.fails]) {
    const [alloc] = await allocs(request, id);
    pages.push(...['', '?tab=logs', '?tab=placement', '?tab=events'].map((tab) => `/ui/allocations/${alloc.ID}${tab}`));
  }
  const evals: { ID: string }[] = await (await request.get(v1(ids.waits, '/evaluations'))).json();
  pages.push(...evals.map((e) => `/ui/evaluations/${e.ID}`));
  const [node]: { ID: string }[] = await (await request.get('/v1/nodes')).json();
  pages.push(...['', '?tab=allocations', '?tab=attributes', '?tab=events'].map((tab) => `/ui/clients/${node.ID}${tab}`));
  return pages;
}

/** What a page has that no page of ours has: elements that names brought, and addresses that run something. */
async function foreign(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found = [...document.querySelectorAll('img, iframe, object, embed, base, form[action^="j"], [onerror], [onload], [onclick]')];
    const scripts = [...document.scripts].filter((s) => s.src && !new window.URL(s.src).pathname.startsWith('/ui/assets/'));
    const links = [...document.querySelectorAll<HTMLAnchorElement>('a[href]')].filter((a) => !['http:', 'https:', 'mailto:'].includes(a.protocol));
    return [...found, ...scripts, ...links].map((e) => e.outerHTML.slice(0, 300));
  });
}

/** Notes everything that a page should never do. */
async function watch(context: BrowserContext): Promise<string[]> {
  const ran: string[] = [];
  await context.exposeFunction('pwn', () => { ran.push('a script of a name'); });
  context.on('page', (page) => page.on('dialog', (dialog) => { ran.push(dialog.message()); void dialog.dismiss(); }));
  context.on('request', (request) => { if (['/v1/regions', '/x'].includes(new globalThis.URL(request.url()).pathname) && request.resourceType() !== 'fetch') ran.push(request.url()); });
  return ran;
}

let ids: Awaited<ReturnType<typeof populate>>;

test.describe.configure({ mode: 'serial' });

test('everything gets a hostile name', async ({ request }) => {
  test.setTimeout(180_000);
  ids = await populate(request);
});

test('pages as the server renders them', async ({ page, context, request }) => {
  test.setTimeout(300_000);
  const ran = await watch(context);
  // The browser's part does not come; scripts of the page would run.
  await context.route('**/ui/assets/**/*.js', (route) => route.fulfill({ contentType: 'text/javascript', body: 'export default async () => ({ start() {} });' }));
  const pages = await everyPage(request, ids);
  let shown = 0;
  for (const path of pages) {
    await page.goto(path);
    expect.soft(await foreign(page), path).toEqual([]);
    expect.soft(await page.title(), path).toMatch(/(^| · )Tarpan$/);
    shown += (await page.locator('body').textContent())?.includes('onerror=pwn()') ? 1 : 0;
  }
  expect(shown, 'pages show such names, as text').toBeGreaterThan(pages.length / 2);
  expect(ran, 'what ran').toEqual([]);
});

test('pages that are live', async ({ page, context, request }) => {
  test.setTimeout(900_000);
  const ran = await watch(context);
  for (const path of await everyPage(request, ids)) {
    await page.goto(path);
    await live(page);
    expect.soft(await foreign(page), path).toEqual([]);
  }
  await page.goto(jobPage(ids.runs));
  await live(page);
  await expect(page).toHaveTitle(`${ids.runs} · Tarpan`);
  // From the list to the job, and the palette.
  await page.getByRole('navigation', { name: 'Main', exact: true }).getByRole('link', { name: /^Jobs/ }).click();
  await page.getByRole('table', { name: 'Jobs' }).getByRole('link').filter({ hasText: 'onerror' }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('onerror=pwn()');
  expect(await foreign(page)).toEqual([]);
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('onerror');
  await expect(page.getByRole('option').first()).toBeVisible();
  expect(await foreign(page)).toEqual([]);
  expect(ran, 'what ran').toEqual([]);
});
