/** Asks Prefect whether the deployments that steps name exist. A missing one is advice, not an error: it may come later. */
import type { Definition } from '../engine/index.ts';
import { isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';
import type { Problem } from './problem.ts';

/** The one question. */
export interface Deployments {
  /**
   * Whether `<flow>/<deployment>` exists.
   * @throws MillraceError MR_PREFECT_UNREACHABLE, MR_PREFECT
   */
  exists(deployment: string): Promise<boolean>;
}

const TIMEOUT_MS = 5_000;

/** @param apiUrl Prefect's API, e.g. `http://127.0.0.1:4200/api` */
export function deploymentsOverHttp(apiUrl: string, apiKey?: string): Deployments {
  return {
    async exists(deployment) {
      const name = deployment.split('/').map(encodeURIComponent).join('/');
      const url = `${apiUrl.replace(/\/+$/, '')}/deployments/name/${name}`;
      let response: Response;
      try {
        response = await fetch(url, {
          headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        await response.body?.cancel();
      } catch (error) {
        throw new MillraceError('MR_PREFECT_UNREACHABLE', `Prefect at ${apiUrl} does not answer: ${messageOf(error)}`, {
          hint: 'check MILLRACE_PREFECT_URL, or unset it to leave Prefect out of the plan',
          cause: error,
        });
      }
      if (response.ok) return true;
      if (response.status === 404) return false;
      throw new MillraceError('MR_PREFECT', `Prefect answered ${response.status} to GET ${url}`, {
        hint:
          response.status === 401 || response.status === 403
            ? 'check MILLRACE_PREFECT_API_KEY'
            : 'check that MILLRACE_PREFECT_URL ends in /api, and look at the log of the Prefect server',
      });
    },
  };
}

/** Warnings for the steps whose deployment does not exist; one warning when Prefect cannot be asked. Never throws. */
export async function checkDeployments(
  definitions: readonly Definition[],
  deployments: Deployments,
): Promise<readonly Problem[]> {
  const uses = definitions.flatMap(({ name, steps }) =>
    steps.flatMap((step) =>
      step.action.kind === 'prefect' ? [{ workflow: name, step: step.name, deployment: step.action.deployment }] : [],
    ),
  );
  const known = new Map<string, boolean>();
  const problems: Problem[] = [];
  for (const { workflow, step, deployment } of uses) {
    try {
      const found = known.get(deployment) ?? (await deployments.exists(deployment));
      known.set(deployment, found);
      if (found) continue;
      problems.push({
        severity: 'warning',
        code: 'MR_DEPLOYMENT_MISSING',
        rule: 'deployment-missing',
        message: `step "${step}" of ${workflow} runs "${deployment}", which Prefect does not know`,
        hint: 'deploy the flow (prefect deploy) before a run gets there, or correct the name: <flow>/<deployment>',
        place: { path: `${workflow}.${step}` },
      });
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      const rule = 'deployment-unchecked';
      problems.push({ severity: 'warning', code: error.code, rule, message: error.message, ...hint, place: {} });
      break;
    }
  }
  return problems;
}
