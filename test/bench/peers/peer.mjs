// peer.mjs PEER VERB ...: one of the peers, at one of the things that all do.
//
//   enqueue N       make its tables, and N executions of one step
//   enqueue-slow N  the same, of steps of 0.3 s
//   work            run what is there until ended by a signal
//   chain N         start N executions of five steps each, one after another,
//                   and run them

import { closePools } from './common.mjs';

const [name, verb, count] = process.argv.slice(2);
const { default: peer } = await import(`./${name}.mjs`);

switch (verb) {
  case 'enqueue':
    await peer.enqueue(Number(count), 'step');
    break;
  case 'enqueue-slow':
    await peer.enqueue(Number(count), 'slow');
    break;
  case 'work':
    await peer.work();
    break;
  case 'chain':
    await peer.chain(Number(count));
    break;
  default:
    throw new Error(`there is no verb ${verb}`);
}

if (verb !== 'work') {
  await peer.close?.();
  await closePools();
  process.exit(0);
}
