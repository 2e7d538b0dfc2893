// Browser tests run against the agent that `cargo test -p tarpan-end2end --test browser` started (TARPAN_ADDR).
import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: 'browser',
  timeout: 120_000,
  expect: { timeout: 20_000 },
  workers: 1,
  forbidOnly: !!process.env.CI,
  reporter: [['list']],
  outputDir: process.env.TARPAN_RESULTS ?? 'test-results',
  use: {
    baseURL: process.env.TARPAN_ADDR,
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync'],
    },
  },
});
