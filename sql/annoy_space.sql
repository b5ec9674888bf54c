-- What VACUUM frees is used again: an index that goes through the same time and
-- again stays as large as it was after the first times.
SET client_min_messages = warning;
SET jit = off;
SELECT setseed(0.3);

CREATE TABLE spacious (id serial PRIMARY KEY, vec real[]) WITH (autovacuum_enabled = off);
CREATE FUNCTION vectors(n int) RETURNS SETOF real[] LANGUAGE sql AS $$
	SELECT array_agg(random())::real[] FROM generate_series(1, n) i, generate_series(1, 4) GROUP BY i
$$;
INSERT INTO spacious (vec) SELECT vectors(2000);
CREATE INDEX spacious_vec ON spacious USING annoy (vec);
CREATE TABLE sizes (round serial, pages bigint);
CREATE PROCEDURE note_size() LANGUAGE sql AS $$
	INSERT INTO sizes (pages) VALUES (pg_relation_size('spacious_vec') / 8192);
$$;
-- 'flat', or the sizes
CREATE FUNCTION growth(first int) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN max(pages) FILTER (WHERE round > first) <= 1.05 * max(pages) FILTER (WHERE round <= first) + 3 THEN 'flat'
		ELSE string_agg(pages::text, ', ' ORDER BY round) END FROM sizes
$$;

-- One row, 2,000 times, each in a transaction of its own.  Most of the vectors are
-- new; among so many some are equal once they are rounded, so that hundreds of
-- elements have short lists of TIDs.
CREATE PROCEDURE hurry() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..2000 LOOP
		UPDATE spacious SET vec[4] = floor(700 * random()) / 1000 WHERE id = 7;
		COMMIT;
	END LOOP;
	CALL note_size();
END
$$;
\set round 'CALL hurry(); VACUUM spacious;'
:round :round :round :round :round
SELECT growth(2);
SELECT * FROM ann_check('spacious_vec', true) LIMIT 5;
TRUNCATE sizes RESTART IDENTITY;

-- a third of the rows, of which some are equal
REINDEX INDEX spacious_vec;
\set third 'DELETE FROM spacious WHERE random() < 0.33; VACUUM spacious;'
\set more 'INSERT INTO spacious (vec) SELECT CASE WHEN random() < 0.1 THEN ARRAY[1, 2, 3, floor(30 * random())] ELSE v END FROM vectors((SELECT 2000 - count(*) FROM spacious)::int) v;'
\set round :third :more ' CALL note_size();'
:round :round :round :round :round :round :round :round :round :round
SELECT growth(4);
SELECT * FROM ann_check('spacious_vec', true) LIMIT 5;

-- lists of TIDs of more than 64 pages: of NULLs, and of one element
TRUNCATE spacious;
INSERT INTO spacious (vec) SELECT CASE WHEN i % 2 = 0 THEN ARRAY[1, 2, 3, 4] END FROM generate_series(1, 200000) i;
INSERT INTO spacious (vec) SELECT vectors(100);
REINDEX INDEX spacious_vec;
-- 'ok', or what the index finds of how many rows; and its problems
CREATE FUNCTION compared() RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	rows bigint := (SELECT count(*) FROM (SELECT 1 FROM spacious OFFSET 0) s);
	result text;
BEGIN
	SELECT CASE WHEN (count(*), count(DISTINCT tid)) = (rows, rows) THEN 'ok' ELSE format('%s, %s of %s', count(*), count(DISTINCT tid), rows) END
	INTO result FROM (SELECT ctid AS tid FROM spacious ORDER BY vec <-> '{1,2,3,4}' OFFSET 0) s;
	RETURN concat_ws(' ', result, (SELECT string_agg(c::text, ' ') FROM (SELECT * FROM ann_check('spacious_vec', true) LIMIT 3) c));
END
$$;
SELECT other_pages > 140 AS many FROM ann_index_info('spacious_vec');
DELETE FROM spacious WHERE id % 5 < 3;
VACUUM spacious;
SELECT compared();
DELETE FROM spacious WHERE id % 1000 > 4 AND (vec IS NULL OR vec = '{1,2,3,4}');
VACUUM spacious;
SELECT compared();
DELETE FROM spacious WHERE vec IS NULL OR vec = '{1,2,3,4}';
VACUUM spacious;
SELECT compared();

DROP TABLE spacious, sizes;
DROP FUNCTION compared();
DROP PROCEDURE hurry(), note_size();
DROP FUNCTION growth(int), vectors(int);
