/**
 * The haremq command, compiled: joins the process (main.ts) and the broker (start-broker.ts).
 * Loaded by bin/haremq.js, and directly when the broker runs from source in tests.
 */

import { main } from "./main.ts";
import { startBroker } from "./start-broker.ts";

await main(process.argv.slice(2), startBroker);
