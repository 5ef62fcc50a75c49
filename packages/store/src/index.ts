/** The door of the store: where message bytes live. */

export { type ArenaStats, MessageArena, recordHeadBytes } from "./message-arena.ts";
