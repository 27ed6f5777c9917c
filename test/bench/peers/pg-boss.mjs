// pg-boss: jobs fetched in batches, one batch after another while they are
// full, and woken by notifications.  FT_BENCH_TRANSACTIONAL=on runs the jobs of
// a batch and their completion in one transaction; without it each job is a
// transaction, and the completion of the batch another.  A chain is made of
// jobs each of which sends the next in the transaction of its effect.

import { PgBoss } from 'pg-boss';
import { CHAIN, CONCURRENCY, chainEnds, effect, effectText, makePool, portions, runChains, slowEffect } from './common.mjs';

const TRANSACTIONAL = process.env.FT_BENCH_TRANSACTIONAL === 'on';
const BATCHES = process.env.FT_BENCH_BATCHES !== 'off';

const pool = makePool();
const boss = new PgBoss({
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  database: process.env.PGDATABASE,
  max: 20,
  useListenNotify: true,
  // looks for what was lost as often as it can
  superviseIntervalSeconds: 1,
  monitorIntervalSeconds: 1,
});

boss.on('error', (error) => console.error(String(error)));

async function open(settings = {}) {
  await boss.start();
  for (const name of ['step', 'slow', 'chain']) {
    await boss.createQueue(name, { notify: true, retryLimit: 5, ...settings });
  }
}

const every = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 };

export default {
  async enqueue(count, name) {
    // ten seconds are the least that it takes for a heartbeat
    await open(name === 'slow' ? { heartbeatSeconds: 10 } : {});
    for (const executions of portions(count, 1000)) {
      await boss.insert(
        name,
        executions.map((execution) => ({ data: { execution } })),
      );
    }
  },

  async work() {
    await open();
    if (!BATCHES) {
      await boss.work('slow', { ...every, localConcurrency: CONCURRENCY }, async ([job]) => {
        await slowEffect(pool, job.data.execution);
      });
    } else if (TRANSACTIONAL) {
      await boss.work(
        'step',
        { ...every, transactional: true, batchSize: 100, burstWhenBatchFull: true, localConcurrency: 8 },
        async (jobs, tx) => {
          for (const job of jobs) {
            await tx.executeSql(effectText, [job.data.execution, 1]);
          }
        },
      );
    } else {
      await boss.work('step', { ...every, batchSize: 500, burstWhenBatchFull: true, localConcurrency: 2 }, async (jobs) => {
        await Promise.all(jobs.map((job) => effect(pool, job.data.execution)));
      });
    }
  },

  async chain(count) {
    await open();
    await boss.work('chain', { ...every, transactional: true }, async ([job], tx) => {
      const { execution, step } = job.data;

      await tx.executeSql(effectText, [execution, step]);
      if (step < CHAIN) {
        await boss.send('chain', { execution, step: step + 1 }, { db: tx });
      } else {
        chainEnds.emit(String(execution));
      }
    });
    await runChains(count, async (execution) => {
      const client = await pool.connect();
      const db = { executeSql: (text, values) => client.query(text, values) };

      await client.query('BEGIN');
      await client.query('INSERT INTO started (execution) VALUES ($1)', [execution]);
      await boss.send('chain', { execution, step: 1 }, { db });
      await client.query('COMMIT');
      client.release();
    });
  },

  async close() {
    await boss.stop({ graceful: true, timeout: 5000 });
  },
};
