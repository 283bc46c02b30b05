import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';

import { AppModule } from './app.module.js';
import { EmailResults } from './email-results.js';
import { EmailService } from './email.service.js';

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const email = app.get(EmailService);
const results = app.get(EmailResults);

const userIds = [7, 8, -1]; // there is no user -1: its job fails for good
const jobs = await Promise.all(userIds.map((userId) => email.welcome(userId)));
for (const line of await Promise.all(jobs.map((job) => results.of(job, 30_000)))) {
  console.log(line);
}
await app.close();
