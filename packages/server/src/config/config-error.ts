/**
 * A configuration that cannot be used: an unknown key, a bad value, two settings that exclude each
 * other. The message is one line, complete, and meant for the person who wrote the setting. Thrown
 * while settings are read, caught once: by the command line, which exits with 2, or by whoever
 * embeds the broker.
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
