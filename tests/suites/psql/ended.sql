set client_min_messages = warning;
-- The server ends the session while a statement runs: this is never hidden, nor run again.
drop table if exists ended;
create table ended (n int);
insert into ended values (1);
select pg_terminate_backend(pg_backend_pid());
select 'not reached in a script';
