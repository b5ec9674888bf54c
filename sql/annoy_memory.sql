-- A backend does not grow with the number of its searches: of 10,000 rescans of a
-- scan and of 100,000 queries, its memory is measured after a tenth and at the end.
SELECT setseed(0.8);
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
-- small searches: more of them
SET ann.search_k = 100;
SET ann.ef_search = 10;
CREATE TABLE items AS
SELECT id, id % 10 AS tenth, array_agg(random())::real[] AS r, array_agg(random()) AS d FROM generate_series(1, 1000) id, generate_series(1, 4) GROUP BY id;
CREATE INDEX ON items USING annoy (r);
CREATE INDEX ON items USING annoy (d double_cosine_ops) WITH (scalar = none);
VACUUM ANALYZE items;

-- kB of this backend: in its memory contexts, and of memory of its own where the
-- system tells
CREATE FUNCTION used() RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	own bigint := 0;
BEGIN
	IF (pg_stat_file('/proc/self/status', true)).size IS NOT NULL THEN
		own := substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)');
	END IF;
	RETURN (SELECT ARRAY[sum(total_bytes) / 1024, coalesce(own, 0)] FROM pg_backend_memory_contexts);
END
$$;
-- By how much it has grown between two moments, if that is more than chance.
CREATE FUNCTION growth(used bigint[]) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN used[2][1] - used[1][1] < 128 AND used[2][2] - used[1][2] < 1024 THEN 'none'
		ELSE format('%s kB in contexts, %s kB in all', used[2][1] - used[1][1], used[2][2] - used[1][2]) END
$$;

-- one scan, so many times: a join
CREATE FUNCTION rescan(query text, times integer, OUT rows bigint, OUT growth text) LANGUAGE plpgsql AS $$
DECLARE
	used bigint[];
BEGIN
	EXECUTE format('SELECT sum(n), array_agg(used ORDER BY i) FILTER (WHERE used IS NOT NULL) FROM
		(SELECT i, n, CASE WHEN i IN (%s, %s) THEN used() END AS used
		FROM (SELECT i, ARRAY[sin(i), cos(i), sin(2 * i), cos(3 * i)] AS q FROM generate_series(1, %2$s) i OFFSET 0) q, LATERAL
		(SELECT count(*) AS n FROM (%s) s) s) s', times / 10, times, query) INTO rows, used;
	growth := growth(used);
END
$$;
SELECT query, r.* FROM (VALUES
	(10000, 'SELECT id FROM items ORDER BY r <-> q LIMIT 5'),
	(10000, 'SELECT id FROM items ORDER BY d <=> q LIMIT 5'),
	(5000, 'SELECT id FROM items WHERE tenth = 3 ORDER BY r <-> q LIMIT 10'),
	(1000, 'SELECT id FROM items ORDER BY r <-> q LIMIT 100 OFFSET 50'),
	(500, 'SELECT id FROM items ORDER BY d <=> q LIMIT 1000'),
	(2000, 'SELECT id FROM items ORDER BY r <-> CASE WHEN i % 2 = 0 THEN q END LIMIT 5'),
	(1000, 'SELECT id FROM items WHERE r <-> q < 0.0'),
	(1000, 'SELECT id FROM items WHERE r <-> q < 0.0 ORDER BY r <-> q LIMIT 5')) v(times, query), rescan(query, times) r;

-- as many queries of one backend: 100,000, in transactions of 1,000, of all kinds; and
-- some that end by an error
CREATE PROCEDURE ask(times integer, OUT rows bigint, OUT errors bigint, OUT growth text) LANGUAGE plpgsql AS $$
DECLARE
	used bigint[];
	q float8[];
	n bigint;
	c refcursor;
BEGIN
	rows := 0;
	errors := 0;
	FOR i IN 1..times LOOP
		q := ARRAY[sin(i), cos(i), sin(2 * i), cos(3 * i)];
		CASE i % 20
			WHEN 0 THEN
				SELECT count(*) INTO n FROM (SELECT id FROM items WHERE tenth = 3 ORDER BY r <-> q LIMIT 5) s;
			WHEN 1 THEN
				BEGIN
					PERFORM id FROM items ORDER BY r <-> (q || 1.0::float8) LIMIT 5;
				EXCEPTION WHEN data_exception THEN
					errors := errors + 1;
				END;
				n := 0;
			WHEN 2 THEN
				OPEN c FOR SELECT id FROM items ORDER BY d <=> q;
				MOVE 7 FROM c;
				CLOSE c;
				n := 7;
			WHEN 3, 4 THEN
				SELECT count(*) INTO n FROM (SELECT id FROM items ORDER BY d <=> q LIMIT 5) s;
			WHEN 5 THEN
				EXECUTE 'SELECT count(*) FROM (SELECT id FROM items ORDER BY r <-> $1 LIMIT 5) s' INTO n USING q;
			ELSE
				SELECT count(*) INTO n FROM (SELECT id FROM items ORDER BY r <-> q LIMIT 5) s;
		END CASE;
		rows := rows + n;
		IF i IN (times / 10, times) THEN
			used := used || ARRAY[used()];
		END IF;
		IF i % 1000 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
	growth := growth(used);
END
$$;
CALL ask(100000, NULL, NULL, NULL);

DROP PROCEDURE ask(integer);
DROP FUNCTION rescan(text, integer), growth(bigint[]), used();
DROP TABLE items;
