#!/usr/bin/dash
# A database of 100,000 rows, built and asked in the file system that is memory.
cd /tmp || exit 1
rm -f t.db
sqlite3 t.db <<'END'
PRAGMA journal_mode;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER, price REAL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO item SELECT i, printf('item-%06d', (i * 7919) % 100003), i % 97, (i % 1000) / 8.0 FROM n;
COMMIT;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_kind ON item(kind, price);
SELECT count(*), sum(kind), round(avg(price), 4) FROM item;
SELECT id, name FROM item WHERE name = 'item-050000';
SELECT kind, count(*), max(price) FROM item GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 3;
SELECT count(*) FROM item a JOIN item b ON a.id = b.kind WHERE a.price > 5;
UPDATE item SET price = price + 1 WHERE kind = 13;
DELETE FROM item WHERE kind IN (3, 5, 7);
SELECT count(*), round(sum(price), 2) FROM item;
BEGIN; DELETE FROM item; SELECT count(*) FROM item; ROLLBACK;
SELECT count(*) FROM item;
PRAGMA integrity_check;
END
echo "-- the file again, with WAL"
sqlite3 t.db <<'END'
PRAGMA journal_mode = WAL;
INSERT INTO item(name, kind, price) VALUES('new', 1, 2.5);
SELECT count(*) FROM item;
PRAGMA wal_checkpoint;
VACUUM;
PRAGMA integrity_check;
END
echo "-- two at a time"
sqlite3 -cmd '.timeout 600000' t.db "UPDATE item SET kind = kind + 1 WHERE id % 2 = 0" &
sqlite3 -cmd '.timeout 600000' t.db "UPDATE item SET price = price * 2 WHERE id % 2 = 1" &
wait
sqlite3 t.db "SELECT count(*), sum(kind), round(sum(price), 2) FROM item; PRAGMA integrity_check"
sqlite3 t.db "SELECT hex(md5) FROM (SELECT printf('%d', sum(length(name))) AS md5 FROM item)"
sqlite3 t.db .dump | md5sum
rm -f t.db t.db-wal t.db-shm
