/** service.*: one function a method. */

import type { ServiceState } from '../../jobs/service-state.ts';
import type { ServiceValue } from '../../protocol/values.ts';
import type { HandlerParts, Some } from './parts.ts';

export const serviceHandlers = ({
  services: { service },
}: HandlerParts): Some<'service.list' | 'service.set'> => ({
  'service.list': async () => ({ services: await presentServices(service) }),
  'service.set': async ({ enabled, reason }) => {
    await service.set(enabled ? undefined : reason);
    return { services: await presentServices(service) };
  },
});

async function presentServices(service: ServiceState): Promise<ServiceValue[]> {
  const { isEnabled, disabledReason, repositories } = await service.report();
  return repositories.map(({ name, url, look }) => ({
    binary: 'basaltd',
    host: service.host,
    zone: service.zone,
    status: isEnabled ? 'enabled' : 'disabled',
    state: look.isAnswering ? 'up' : 'down',
    updated_at: look.answeredAtMs === undefined ? null : new Date(look.answeredAtMs).toISOString(),
    repository: name,
    repository_url: url,
    reason: look.fault?.message ?? '',
    disabled_reason: disabledReason,
  }));
}
