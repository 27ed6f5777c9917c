// graphile-worker, set as its page on performance says: a local queue that is
// filled in batches, completions in batches.  A chain is made of jobs each of
// which adds the next in the transaction of its effect.

import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { CHAIN, CONCURRENCY, chainEnds, effect, makePool, portions, runChains, slowEffect } from './common.mjs';

const logger = new Logger(() => (level, message) => {
  if (level === 'error') {
    console.error(message);
  }
});
const pgPool = makePool(CONCURRENCY + 1);

// One statement, so one commit and one round trip, for the effect and the job
// that follows.
const EFFECT_AND_NEXT = {
  name: 'effect_and_next',
  text: `WITH effect AS (INSERT INTO effect (execution, step) VALUES ($1, $2))
         SELECT graphile_worker.add_job('chain', json_build_object('execution', $1::int, 'step', $2::int + 1))`,
};

const taskList = {
  step: ({ execution }, helpers) => helpers.withPgClient((client) => effect(client, execution)),
  slow: ({ execution }, helpers) => helpers.withPgClient((client) => slowEffect(client, execution)),
  chain: async ({ execution, step }, helpers) => {
    if (step < CHAIN) {
      await helpers.withPgClient((client) => client.query({ ...EFFECT_AND_NEXT, values: [execution, step] }));
    } else {
      await helpers.withPgClient((client) => effect(client, execution, step));
      chainEnds.emit(String(execution));
    }
  },
};

const batches = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

function start(settings) {
  return run({
    pgPool,
    logger,
    taskList,
    noHandleSignals: true,
    preset: { worker: { concurrentJobs: CONCURRENCY, maxPoolSize: CONCURRENCY + 1, ...settings } },
  });
}

async function install() {
  const utils = await makeWorkerUtils({ pgPool, logger });

  await utils.migrate();
  return utils;
}

export default {
  async enqueue(count, identifier) {
    const utils = await install();

    for (const executions of portions(count, 1000)) {
      await utils.addJobs(executions.map((execution) => ({ identifier, payload: { execution } })));
    }
    await utils.release();
  },

  // Whatever is in a local queue when the process dies stays locked, so where
  // that is asked for it is left out.
  async work() {
    const runner = await start(process.env.FT_BENCH_BATCHES === 'off' ? {} : batches);

    await runner.promise;
  },

  async chain(count) {
    await (await install()).release();
    const runner = await start(batches);

    await runChains(count, async (execution) => {
      const client = await pgPool.connect();

      await client.query('BEGIN');
      await client.query('INSERT INTO started (execution) VALUES ($1)', [execution]);
      await client.query("SELECT graphile_worker.add_job('chain', json_build_object('execution', $1::int, 'step', 1))", [
        execution,
      ]);
      await client.query('COMMIT');
      client.release();
    });
    await runner.stop();
  },
};
