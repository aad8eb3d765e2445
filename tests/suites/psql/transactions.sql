create table if not exists tx (n int primary key);
truncate tx;
begin; insert into tx values (1); savepoint a; insert into tx values (1); rollback to a; commit;
select * from tx;
begin; select 1/0; select 1; commit;
\set AUTOCOMMIT off
insert into tx values (2);
select count(*) from tx;
-- left in the midst of a transaction: it is not committed, and nobody inherits it
\c
select count(*) from tx;
rollback;
\set AUTOCOMMIT on
\c
begin; select 1/0;
\c
\c
select 1 as not_aborted;
\set ON_ERROR_ROLLBACK on
begin; insert into tx values (3); insert into tx values (3); insert into tx values (4); commit;
select * from tx order by n;
\unset ON_ERROR_ROLLBACK
begin isolation level serializable read only deferrable;
show transaction_isolation;
insert into tx values (5);
commit;
prepare transaction 'nobody';
begin; insert into tx values (6); prepare transaction 'tine-psql';
\c
select gid from pg_prepared_xacts where gid = 'tine-psql';
commit prepared 'tine-psql';
select * from tx order by n;
drop table tx;
