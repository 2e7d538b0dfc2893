// The browser tests run against an agent that `cargo test -p tarpan-end2end --test browser` started:
// TARPAN_ADDR is its address, TARPAN_JOBS the folder of the job files that run on it, TARPAN_RESULTS where traces of failures go.
import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: 'browser',
  // A debug build of the UI takes seconds to start on a busy machine.
  timeout: 60_000,
  globalTimeout: 15 * 60_000,
  expect: { timeout: 20_000 },
  workers: 1,
  forbidOnly: !!process.env.CI,
  reporter: [['list']],
  outputDir: process.env.TARPAN_RESULTS ?? 'test-results',
  use: {
    baseURL: process.env.TARPAN_ADDR,
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    actionTimeout: 20_000,
    navigationTimeout: 20_000,
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.TARPAN_CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync',
      ],
    },
  },
});
