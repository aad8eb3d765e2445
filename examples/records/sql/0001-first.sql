-- SPDX-License-Identifier: PostgreSQL
-- Users, sessions, settings; documents; lots; the inbox.

create table users (
	id bigint generated always as identity primary key,
	name text not null unique check (octet_length(name) between 1 and 64),
	password_hash text not null,
	role text not null check (role in ('reader', 'editor', 'admin')),
	created_at timestamptz not null default now()
);

create table sessions (
	id_hash text primary key,
	user_id bigint not null references users on delete cascade,
	created_at timestamptz not null default now(),
	expires_at timestamptz not null
);
create index sessions_expires_at on sessions (expires_at);

create table settings (
	one boolean primary key default true check (one),
	title text not null default 'Records',
	notice text not null default '',
	upload_limit_bytes bigint not null default 0 check (upload_limit_bytes >= 0)
);
insert into settings default values;

create table documents (
	id bigint generated always as identity primary key,
	key text not null unique,
	name text not null,
	media_type text not null,
	size_bytes bigint not null,
	sha256 text not null,
	storage_key text not null unique,
	uploaded_by text not null,
	created_at timestamptz not null default now()
);
