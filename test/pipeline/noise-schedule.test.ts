import t from 'tap';
import { alphasCumprod, trainingSigmas } from '../../src/pipeline/schedulers/noise-schedule.js';
import type { SchedulerConfig } from '../../src/pipeline/schedulers/schedule.js';

const config: SchedulerConfig = { beta_schedule: 'linear', num_train_timesteps: 10 };

t.test('a schedule that is kept is that of its config', async (t) => {
  const changes: readonly SchedulerConfig[] = [
    { num_train_timesteps: 11 },
    { trained_betas: Array.from({ length: 10 }, () => 0.01) },
    { beta_start: 0.001 },
    { beta_end: 0.1 },
    { beta_schedule: 'scaled_linear' },
    { rescale_betas_zero_snr: true },
  ];
  for (const of of [alphasCumprod, trainingSigmas]) {
    const plain = of(config);
    t.equal(of({ ...config }), plain, `${of === alphasCumprod ? 'alphas' : 'sigmas'} are kept`);
    for (const change of changes) t.notSame(of({ ...config, ...change }), plain, JSON.stringify(change));
    for (let i = 20; i < 40; i++) of({ ...config, num_train_timesteps: i });
    t.strictSame(of(config), plain, 'and come again when they were not');
  }
});

t.test('sigmas leave the alphas as they are', async (t) => {
  const zero: SchedulerConfig = { ...config, rescale_betas_zero_snr: true };
  const before = Array.from(alphasCumprod(zero));
  t.equal(before.at(-1), 0);
  trainingSigmas(zero);
  t.strictSame(Array.from(alphasCumprod(zero)), before);
});
