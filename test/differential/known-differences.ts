/**
 * Scenarios in which HareMQ differs from RabbitMQ on purpose, by their full names ("area: scenario").
 * Each value is the heading in docs/differences.md that says why.
 */

export const knownDifferences: ReadonlyMap<string, string> = new Map<string, string>([]);
