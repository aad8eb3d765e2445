select l.number, l.year, l.title, to_char(l.created_at, 'YYYY-MM-DD HH24:MI'), n.text from lots l left join notes n on n.lot_id = l.id where l.number = $1 order by n.id
