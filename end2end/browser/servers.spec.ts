// Three servers, as an operator sees and moves them; a snapshot there and back.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, open, register, test } from './lab';

const scratch = process.env.TMPDIR ?? '/tmp';
/** A job that no node may take: it shows that state goes and comes back. */
const nowhere = (name: string) => `job "${name}" {
  datacenters = ["nowhere"]
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
`;

test.describe('three servers', () => {
  test('another one is made leader', async ({ page }) => {
    await open(page, '/ui/servers');
    const rows = page.getByRole('table', { name: 'Servers' }).getByRole('row');
    await expect(rows).toHaveCount(4);
    await expect(page.getByText('3 voters · 1 may fail')).toBeVisible();
    await expect(rows.filter({ hasText: 'Healthy' })).toHaveCount(3);
    const next = rows.filter({ hasText: 'voter' }).first();
    const name = await next.getByRole('cell').first().innerText();
    await next.getByRole('button', { name: 'Make leader' }).click();
    const question = page.getByRole('dialog');
    await expect(question).toContainText(`Have ${name} lead?`);
    await expect(question).toContainText('tarpan operator raft transfer-leadership -peer-id');
    // The page looks at the servers meanwhile; the question stays.
    for (let times = 0; times < 2; times++) await page.waitForResponse(/autopilot\/health/);
    await question.getByRole('button', { name: 'Make leader' }).click();
    await expect(page.getByText(`${name} leads`)).toBeVisible();
    const leads = rows.filter({ has: page.getByRole('cell', { name: 'leader', exact: true }) });
    await expect(leads).toHaveCount(1);
    await expect(leads).toContainText(name);
  });

  test.describe('a snapshot', () => {
    // The refusals below are answers with an error.
    test.use({ expected: /restore|snapshot/i });

    test('comes down and takes the place of what came since', async ({ page, request }) => {
      await register(request, nowhere('kept'));
      await open(page, '/ui/servers');
      const coming = page.waitForEvent('download');
      await page.getByRole('link', { name: 'Snapshot' }).click();
      const file = join(scratch, 'region.snap');
      await (await coming).saveAs(file);
      await register(request, nowhere('later'));

      const wrong = join(scratch, 'wrong.snap');
      writeFileSync(wrong, 'job "web" {}');
      await page.getByRole('button', { name: 'Restore' }).click();
      const question = page.getByRole('dialog');
      const replace = question.getByRole('button', { name: 'Replace everything' });
      await replace.click();
      await expect(question).toContainText('No file was chosen');
      await question.getByLabel('Snapshot file').setInputFiles(wrong);
      await expect(question).toContainText('tarpan operator snapshot restore wrong.snap');
      await replace.click();
      await expect(question).toContainText('this is not a snapshot: it is no gzip file');
      await question.getByLabel('Snapshot file').setInputFiles(file);
      await replace.click();
      await expect(page.getByText('The state was restored')).toBeVisible();

      await page.getByRole('link', { name: 'Jobs' }).first().click();
      await expect(page.getByRole('link', { name: 'kept', exact: true })).toBeVisible();
      await expect(page.getByRole('link', { name: 'later', exact: true })).toHaveCount(0);
    });
  });
});
