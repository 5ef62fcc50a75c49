/**
 * Why a policy, a parameter or a limit was not set, with RabbitMQ's text. Whoever passes it on to
 * an operator has nothing to add: HTTP answers 400 with it, the command line prints it.
 */

export class ParameterError extends Error {
  constructor(explanation: string) {
    super(explanation);
    this.name = "ParameterError";
  }
}

/** Everything that is wrong with what was given, a line each. */
export function validationFailed(complaints: readonly string[]): ParameterError {
  return new ParameterError(`Validation failed\n\n${complaints.join("\n")}\n`);
}
