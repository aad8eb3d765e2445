-- Many sessions, one statement each.
\c
select 1;
\c
select 2;
\c
\c
\c
prepare p as select $1::int;
execute p(3);
\c
execute p(4);
\c
prepare p as select $1::int;
execute p(5);
\c
\c
create table often (n int);
\c
insert into often select generate_series(1, 1000);
\c
select count(*), sum(n) from often;
\c
drop table often;
\c
