/** What the haremq command runs: the process around a broker. */

import { main } from "./main.ts";
import { startBroker } from "./start-broker.ts";

await main(process.argv.slice(2), startBroker);
