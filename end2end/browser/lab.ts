// What the specs share: a page that has to stay quiet, the job files, the API, the editor.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test as base, expect, type APIRequestContext, type Locator, type Page } from '@playwright/test';

export { expect };

/** Which output of a page is no fault in a test. */
type Options = { expected: RegExp };

/**
 * Playwright's `test`, with pages that have to be quiet: what is written to the console, an error that nobody caught, a request that
 * failed or was answered with an error each fail the test when it ends.
 */
export const test = base.extend<Options & { quiet: void }>({
  expected: [/^nothing$/, { option: true }],
  quiet: [async ({ context, expected }, use) => {
    const said: string[] = [];
    const say = (text: string) => { if (!expected.test(text)) said.push(text); };
    const ours = (url: string) => url.startsWith(process.env.TARPAN_ADDR ?? 'http');
    context.on('console', (message) => {
      const at = message.location().url || message.page()?.url() || '';
      if (ours(at)) say(`console ${message.type()}: ${message.text()} (${at})`);
    });
    context.on('weberror', (error) => say(`uncaught: ${error.error().message}`));
    context.on('requestfailed', (request) => {
      // A page that is left stops listening: that is no failure.
      const why = request.failure()?.errorText ?? '';
      if (ours(request.url()) && why !== 'net::ERR_ABORTED') say(`${request.method()} ${request.url()}: ${why}`);
    });
    context.on('response', (answer) => {
      if (ours(answer.url()) && answer.status() >= 400) say(`${answer.request().method()} ${answer.url()}: ${answer.status()}`);
    });
    await use();
    expect(said, 'the pages are quiet').toEqual([]);
  }, { auto: true }],
});

/** A job file of the demo, as it runs on this agent. */
export function jobFile(name: string): string {
  return readFileSync(join(process.env.TARPAN_JOBS ?? '../jobs', `${name}.nomad.hcl`), 'utf8');
}

/** A service that prints a line a second. `memory` in MiB. */
export function ticker(name: string, memory = 16): string {
  return `job "${name}" {
  group "g" {
    task "clock" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "n=0; while true; do n=$((n+1)); echo tick $n; sleep 1; done"]
      }
      resources {
        cpu    = 20
        memory = ${memory}
      }
    }
  }
}
`;
}

/** Registers a jobspec through the API. */
export async function register(request: APIRequestContext, text: string): Promise<void> {
  const parsed = await request.post('/v1/jobs/parse', { data: { JobHCL: text, Canonicalize: true } });
  expect(parsed.ok(), await parsed.text()).toBe(true);
  const answer = await request.post('/v1/jobs', { data: { Job: await parsed.json(), Submission: { Source: text, Format: 'hcl2' } } });
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** Stops a job through the API and forgets it. */
export async function purge(request: APIRequestContext, id: string): Promise<void> {
  const answer = await request.delete(`/v1/job/${encodeURIComponent(id)}?purge=true`);
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** The allocations of a job. */
export async function allocs(request: APIRequestContext, id: string): Promise<{ ID: string; ClientStatus: string }[]> {
  return (await request.get(`/v1/job/${encodeURIComponent(id)}/allocations`)).json();
}

/** Waits for an allocation of a job with this state; gives its id. */
export async function allocOf(request: APIRequestContext, id: string, status: string): Promise<string> {
  let found: string | undefined;
  await expect.poll(async () => {
    found = (await allocs(request, id)).find((a) => a.ClientStatus === status)?.ID;
    return found;
  }, { message: `an allocation of ${id} that is ${status}`, timeout: 60_000 }).toBeTruthy();
  return found ?? '';
}

/** Waits until the page is live: the browser's side runs and hears the event stream. */
export async function live(page: Page): Promise<void> {
  await expect(page.getByTitle(/events arrive as they happen|事件实时到达/)).toContainText(/Live|实时/, { timeout: 30_000 });
}

/** Opens an address and waits until the page is live. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await live(page);
}

/** The job editor: CodeMirror, once it is there. */
export async function editor(page: Page): Promise<Locator> {
  const text = page.getByRole('textbox', { name: 'Jobspec' });
  await expect(text).toHaveAttribute('contenteditable', 'true');
  return text;
}

/** Replaces the editor's text by pasting, as a person does. */
export async function paste(page: Page, text: string): Promise<void> {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const box = await editor(page);
  await page.evaluate((t) => navigator.clipboard.writeText(t), text);
  await box.focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('ControlOrMeta+v');
}

/** The plan beside the editor. */
export const plan = (page: Page): Locator => page.getByRole('complementary', { name: 'Plan' });

/** Marks a page, so that [`sameDocument`] can tell whether it was loaded again. */
export async function markDocument(page: Page): Promise<void> {
  await page.evaluate(() => { (window as unknown as { marked?: boolean }).marked = true; });
}

export async function sameDocument(page: Page): Promise<boolean> {
  return page.evaluate(() => (window as unknown as { marked?: boolean }).marked === true);
}
