/**
 * What it takes until a publisher may be told that its message is safe: at "disk" it has been
 * synced and survives a power loss, at "os" the operating system has it and it survives the
 * process.
 */

export const confirmLevels = ["disk", "os"] as const;

export type ConfirmLevel = (typeof confirmLevels)[number];
