/** The project that a quota command is about: the one it names, else the one that the session acts for. */

import type { Session } from '../../session.ts';

export const ofProject = (session: Session, project: string | undefined): { readonly project?: string } =>
  project === undefined ? session.inProject : { project };
