listen heard;
notify heard, 'to myself';
select 1;
\c
notify heard, 'nobody listens';
select 2;
\c
notify heard, 'nor here';
select 3;
listen heard;
unlisten *;
notify heard;
select 4;
begin; listen heard; rollback;
notify heard, 'rolled back';
select 5;
begin; listen heard; commit;
notify heard, 'committed';
select 6;
\c
\c
select 7;
