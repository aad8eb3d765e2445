-- SPDX-License-Identifier: PostgreSQL
-- Lots and what is noted of them; the inbox.

create table lots (
	id bigint generated always as identity primary key,
	number text not null unique,
	year integer not null check (year between 1970 and 2069),
	title text not null,
	created_at timestamptz not null default now()
);

create table jobs (
	id bigint generated always as identity primary key,
	key text not null unique,
	kind text not null,
	payload jsonb not null,
	state text not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
	attempts integer not null default 0,
	error text,
	run_at timestamptz not null default now(),
	created_at timestamptz not null default now(),
	done_at timestamptz
);
create index jobs_waiting on jobs (run_at, id) where state = 'waiting';

create table notes (
	id bigint generated always as identity primary key,
	lot_id bigint not null references lots on delete cascade,
	job_id bigint not null unique references jobs,
	text text not null
);
create index notes_lot_id on notes (lot_id);
