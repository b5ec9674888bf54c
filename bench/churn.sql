-- What bench/churn asks of the server.  The tables items, pool and queries are
-- found by search_path, so one function serves the tables of all methods.
SET check_function_bodies = off;

-- Is a row among those deleted when one in so many is?  As good as random.
CREATE FUNCTION doomed(id bigint, one_in int, seed bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS
$$ SELECT hashint8extended(id, seed + 1) % one_in = 0 $$;

-- Ask all queries of items, first for the recall, and then for the median time
-- of a query, taken in the server: without the way to a client and back.  A row
-- as far as the tenth of the truth counts as right, one that comes twice once.
CREATE FUNCTION ask(halved boolean, OUT recall float8, OUT ms float8)
LANGUAGE plpgsql AS
$$
DECLARE
	q record;
	started timestamptz;
	hits float8 := 0;
	times float8[];
BEGIN
	FOR q IN SELECT vec, CASE WHEN halved THEN far_halved ELSE far END AS far FROM queries
	LOOP
		hits := hits + (SELECT count(DISTINCT id) FILTER (WHERE d <= q.far)
			FROM (SELECT id, vec <-> q.vec AS d FROM items ORDER BY d LIMIT 10) nearest);
	END LOOP;
	FOR q IN SELECT vec FROM queries
	LOOP
		started := clock_timestamp();
		PERFORM id FROM items ORDER BY vec <-> q.vec LIMIT 10;
		times := times || extract(epoch FROM clock_timestamp() - started)::float8 * 1000;
	END LOOP;
	recall := hits / (10 * cardinality(times));
	ms := (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) t);
END
$$;
