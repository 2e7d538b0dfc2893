// Pages of other sites, and a name that was pointed at the agent, in a browser of a person who may do everything here.
import { createServer, type Server } from 'node:http';
import { expect, test, type Page } from '@playwright/test';
import config from '../playwright.config';

const ADDR = process.env.TARPAN_ADDR ?? '';
const ALLOC = process.env.TARPAN_ALLOC ?? '';
const PORT = new URL(ADDR).port;
const args = config.use?.launchOptions?.args ?? [];

test.use({
  launchOptions: {
    ...config.use?.launchOptions,
    args: [...args, '--host-resolver-rules=MAP evil.test 127.0.0.1,MAP tarpan.test 127.0.0.1'],
  },
});

let site: Server;
let port = 0;

test.beforeAll(async () => {
  site = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<title>evil</title><body>'));
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const address = site.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
});

test.afterAll(() => { site.close(); });

/** What a page can try without being allowed anything; gives what came of it where a page can tell. */
async function attack(page: Page, target: string): Promise<Record<string, string>> {
  return page.evaluate(async ({ target, alloc }) => {
    const said: Record<string, string> = {};
    const job = JSON.stringify({ Job: { ID: 'planted', Name: 'planted', Type: 'batch', TaskGroups: [] } });
    const restart = `${target}/v1/client/allocation/${alloc}/restart`;
    const tries: [string, string, string][] = [
      ['POST', '/v1/jobs', 'text/plain'], ['POST', '/v1/jobs', 'application/x-www-form-urlencoded'],
      ['POST', '/v1/job/victim/evaluate', 'text/plain'], ['POST', `/v1/client/allocation/${alloc}/restart`, 'text/plain'],
    ];
    for (const [method, path, type] of tries) {
      await fetch(target + path, { method, mode: 'no-cors', body: job, headers: { 'content-type': type } }).catch(() => {});
    }
    navigator.sendBeacon(`${target}/v1/jobs`, job);
    const read = (options: RequestInit) => fetch(`${target}/v1/jobs`, options).then(() => 'read', () => 'blocked');
    said.get = await read({});
    said.token = await read({ headers: { 'x-nomad-token': 'x' } });
    said.put = await read({ method: 'PUT', body: job });
    const load = (element: HTMLImageElement | HTMLScriptElement | HTMLIFrameElement, url: string) => new Promise<void>((done) => {
      element.onload = element.onerror = () => done();
      element.src = url;
      document.body.append(element);
    });
    await load(document.createElement('img'), restart);
    await load(document.createElement('script'), restart);
    await load(Object.assign(document.createElement('img'), { referrerPolicy: 'no-referrer' }), `${target}/v1/client/gc`);
    await load(document.createElement('iframe'), restart);
    await fetch(restart, { mode: 'no-cors', headers: { 'accept-language': '*' }, referrerPolicy: 'no-referrer' }).catch(() => {});

    const frame = Object.assign(document.createElement('iframe'), { name: 'sink' });
    document.body.append(frame);
    const form = Object.assign(document.createElement('form'), { method: 'post', action: `${target}/v1/jobs`, enctype: 'text/plain', target: 'sink' });
    form.append(Object.assign(document.createElement('input'), { name: job.slice(0, -1), value: '}' }));
    document.body.append(form);
    const sent = new Promise<void>((done) => { frame.onload = () => done(); });
    form.submit();
    await sent;

    const socket = (path: string) => new Promise<string>((done) => {
      const socket = new WebSocket(target.replace('http', 'ws') + path);
      socket.onopen = () => done('open');
      socket.onerror = () => done('refused');
    });
    said.exec = await socket(`/v1/client/allocation/${alloc}/exec?task=t&command=${encodeURIComponent('["id"]')}`);
    said.events = await socket('/v1/event/stream');
    return said;
  }, { target, alloc: ALLOC });
}

const NOTHING = { get: 'blocked', token: 'blocked', put: 'blocked', exec: 'refused', events: 'refused' };

/** When the task that pages are after was started. */
async function started(): Promise<string> {
  const alloc = await (await fetch(`${ADDR}/v1/allocation/${ALLOC}`)).json() as { TaskStates: { t: { StartedAt: string } } };
  return alloc.TaskStates.t.StartedAt;
}

// Another port of the same host, another site, and a name over plain http, with which browsers say less.
for (const [from, target] of [['127.0.0.1', ADDR], ['evil.test', ADDR], ['evil.test', `http://tarpan.test:${PORT}`]] as const) {
  test(`a page of ${from} gets nothing done at ${target.replace(/:\d+$/, '')}`, async ({ page }) => {
    const before = await started();
    await page.goto(`http://${from}:${port}/`);
    const said = await attack(page, target);
    expect(said).toEqual(NOTHING);
    const jobs = await (await fetch(`${ADDR}/v1/jobs`)).json() as { ID: string }[];
    expect(jobs.map((job) => job.ID)).toEqual(['victim']);
    expect(await started()).toBe(before);
  });
}

test('a name that was pointed here reads and writes nothing', async ({ page }) => {
  const answer = await page.goto(`http://evil.test:${PORT}/ui/jobs`);
  expect(answer?.status()).toBe(403);
  expect(await answer?.text()).toContain('http_allowed_hosts = ["evil.test"]');
  const statuses = await page.evaluate(async () => {
    const status = (options: RequestInit) => fetch('/v1/jobs', options).then((r) => r.status);
    return [
      await status({}),
      await status({ headers: { 'x-nomad-token': 'any' }, referrerPolicy: 'no-referrer' }),
      await status({ headers: { authorization: 'Bearer any', 'accept-language': '*', 'user-agent': 'curl/8' }, referrerPolicy: 'no-referrer' }),
      await status({ method: 'PUT', body: '{}', headers: { 'x-nomad-token': 'any', 'content-type': 'application/json' } }),
    ];
  });
  expect(statuses).toEqual([403, 403, 403, 403]);
});

for (const host of ['127.0.0.1', 'localhost', 'tarpan.test']) {
  test(`our own pages at ${host} may do everything`, async ({ page }) => {
    await page.goto(`http://${host}:${PORT}/ui/jobs`);
    const done = await page.evaluate(async () => {
      const status = (method: string) => fetch('/v1/jobs', { method, body: '{}' }).then((r) => r.status);
      const socket = new Promise<string>((done) => {
        const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/event/stream`);
        socket.onopen = () => done('open');
        socket.onerror = () => done('refused');
      });
      return [await status('PUT'), await status('POST'), await socket];
    });
    expect(done).toEqual([400, 400, 'open']);
  });
}

test('logs and files run nothing', async ({ request, page }) => {
  for (const path of [`fs/logs/${ALLOC}?task=t&type=stdout&plain=true`, `fs/logs/${ALLOC}?task=t&type=stdout`, `fs/cat/${ALLOC}?path=alloc/logs/t.stdout.0`, `fs/readat/${ALLOC}?path=alloc/logs/t.stdout.0&offset=0&limit=9`]) {
    const headers = (await request.get(`/v1/client/${path}`)).headers();
    expect(headers['x-content-type-options'], path).toBe('nosniff');
    expect(headers['content-security-policy'], path).toContain('sandbox');
    expect(headers['content-type'], path).toMatch(/^(text\/plain|application\/json|application\/octet-stream)/);
  }
  let ran = false;
  page.on('dialog', (dialog) => { ran = true; void dialog.dismiss(); });
  await page.goto(`/v1/client/fs/cat/${ALLOC}?path=alloc/logs/t.stdout.0`);
  expect(await page.locator('script').count()).toBe(0);
  expect(ran).toBe(false);
});
