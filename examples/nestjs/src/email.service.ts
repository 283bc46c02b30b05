import { InjectQueue } from '@nestjs/bullmq';
import { Injectable } from '@nestjs/common';
import { Job, Queue } from 'bullmq';

import type { Jobs } from './jobs.js';

type Email = Jobs['email'];

/** Adds jobs as BullMQ's documentation shows; names and data are those that the Python handlers take. */
@Injectable()
export class EmailService {
  constructor(@InjectQueue('email') private readonly queue: Queue<Email[keyof Email], unknown, keyof Email>) {}

  welcome(userId: number): Promise<Job> {
    return this.queue.add('welcome', { userId }, { attempts: 3, backoff: { type: 'exponential', delay: 5000 } });
  }
}
