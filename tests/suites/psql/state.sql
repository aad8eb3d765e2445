-- Each \c opens a session and then closes the one before, so the second \c of a pair gets back,
-- where there is a pool, the session that was left in disorder.
set work_mem = '7MB';
set search_path = pg_catalog;
set client_min_messages = error;
set statement_timeout = '90s';
set datestyle = 'German, DMY';
set timezone = 'Asia/Kathmandu';
set default_transaction_isolation = serializable;
set default_transaction_read_only = on;
\c
\c
show work_mem;
show search_path;
show client_min_messages;
show statement_timeout;
show datestyle;
show timezone;
show default_transaction_isolation;
show default_transaction_read_only;
-- temporary things
create temp table leftover (n int);
insert into leftover values (1), (2);
create temp view leftover_view as select * from leftover;
create temp sequence leftover_seq;
select nextval('leftover_seq');
\c
\c
select * from leftover;
select * from leftover_view;
select currval('leftover_seq');
select lastval();
-- of this session: one that was closed a moment ago may not have dropped its own yet
select count(*) from pg_class where relname like 'leftover%' and relnamespace = pg_my_temp_schema();
-- prepared statements, cursors
prepare one as select 1;
begin;
declare held cursor with hold for select generate_series(1, 3);
commit;
fetch held;
\c
\c
execute one;
fetch held;
select count(*) from pg_prepared_statements;
select count(*) from pg_cursors;
-- locks
select pg_advisory_lock(4711);
select pg_advisory_lock_shared(4712);
\c
\c
select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
-- listening
listen channel_a;
listen channel_b;
\c
\c
select count(*) from pg_listening_channels();
-- roles
set session characteristics as transaction read only;
set role pg_read_all_data;
select current_user, session_user;
\c
\c
select current_user, session_user;
set role none;
-- settings made by functions, local ones, undone ones
select set_config('work_mem', '9MB', false);
begin; set local work_mem = '11MB'; commit;
begin; set work_mem = '13MB'; rollback;
show work_mem;
\c
\c
show work_mem;
-- a setting of the program's own
select set_config('mine.name', 'left', false);
set mine.other = 'left';
\c
\c
select current_setting('mine.name', true) is null, current_setting('mine.other', true) is null;
do $$ begin perform set_config('mine.third', 'left', false); end $$;
\c
\c
select current_setting('mine.third', true) is null;
select setseed(0.5);
\c
\c
select application_name from pg_stat_activity where pid = pg_backend_pid();
