/** The shape of a row of the table of methods. Pure. */

import type { z } from 'zod';
import * as shape from './shapes.ts';

export interface MethodRow<P extends z.ZodType, R> {
  readonly summary: string;
  /** Who may call: anybody who reached the socket, whoever may act for the project, or root and the admin group. */
  readonly needs: 'anybody' | 'project' | 'admin';
  readonly params: P;
  /** Says what is answered; only its type counts. */
  readonly answer: string;
  readonly result?: R;
}

export const method =
  <R>() =>
  <P extends z.ZodType>(row: Omit<MethodRow<P, R>, 'result'>): MethodRow<P, R> =>
    row;

/** Params of every method that acts for a project. */
export const inProject = { project: shape.project };
