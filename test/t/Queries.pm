# Queries of all kinds, and tables that change meanwhile: what 011_queries runs.  Each
# answer is judged beside that of a sequential scan in the same snapshot.  There are
# six kinds of table, each once with annoy and once with ann_hnsw: all distances, both
# types of column, with and without vectors in the index, two of them partitioned.
package Queries;

use strict;
use warnings;

use PostgreSQL::Test::Utils;

# tables are rows_0 and so on, their indexes vec_0
our $TABLES = 12;

my $setup = q{
	SET client_min_messages = warning;
	CREATE EXTENSION ann;
	CREATE TABLE lives (number int PRIMARY KEY, method text, type text, class text, operator text, options text, parts text);
	INSERT INTO lives VALUES
		(0, 'annoy', 'real[]', 'real_l2_ops', '<->', '', NULL),
		(1, 'annoy', 'float8[]', 'double_cosine_ops', '<=>', 'WITH (scalar = i8)', NULL),
		(2, 'annoy', 'real[]', 'real_ip_ops', '<#>', 'WITH (scalar = f32)', NULL),
		(3, 'annoy', 'float8[]', 'double_l2_ops', '<->', 'WITH (scalar = none)', NULL),
		(4, 'annoy', 'real[]', 'real_cosine_ops', '<=>', '', 'HASH (id)'),
		(5, 'annoy', 'float8[]', 'double_ip_ops', '<#>', '', 'LIST (n)');
	INSERT INTO lives SELECT number + 6, 'ann_hnsw', type, class, operator, options, parts FROM lives;

	-- what has been asked: with settings of their own or not, how often an index was
	-- searched, how many rows there were to find, how many of these were found, and of how many
	-- searches some were found late
	CREATE TABLE answers (kind text, method text, standard boolean, searches bigint, wanted bigint, hits bigint,
		late bigint);
	CREATE TABLE memory (pid int, at timestamptz, contexts bigint, own bigint);

	-- One of 40 places, and around it.
	CREATE FUNCTION vector() RETURNS float8[] VOLATILE LANGUAGE plpgsql AS $$
	DECLARE
		place int := floor(random() * 40);
	BEGIN
		RETURN (SELECT array_agg((sin(place * 31 + j * j) + random() - 0.5)::real) FROM generate_series(1, 12) j);
	END
	$$;
	CREATE FUNCTION one_of(list anyarray) RETURNS anyelement VOLATILE LANGUAGE sql AS
		'SELECT list[1 + floor(random() * cardinality(list))]';

	-- What a client does to a table.
	CREATE FUNCTION change(number int, seed float8) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		t text := 'rows_' || number;
		first int;
		last int;
		n int;
		chosen text;
	BEGIN
		PERFORM setseed(seed);
		-- at once: a lock that is made stronger later may wait for a REINDEX that waits for us
		EXECUTE format('LOCK TABLE %I IN ROW EXCLUSIVE MODE', t);
		EXECUTE format('SELECT min(id), max(id), count(*) FROM %I', t) INTO first, last, n;
		first := first + floor((last - first + 1) * random());
		chosen := format('WHERE id IN (SELECT id FROM %I WHERE id BETWEEN %s AND %s FOR UPDATE SKIP LOCKED)', t, first, first + 20);
		CASE one_of(ARRAY['insert', 'vector', 'filter', 'delete', 'abort'])
			WHEN 'insert' THEN
				EXECUTE format('INSERT INTO %I (n, vec) SELECT 100 * random(), CASE WHEN random() < 0.98 THEN vector() END
					FROM generate_series(1, %s)', t, CASE WHEN n > 2000 THEN 1 ELSE 20 END);
			WHEN 'vector' THEN
				EXECUTE format('UPDATE %I SET vec = vector() %s', t, chosen);
			WHEN 'filter' THEN
				EXECUTE format('UPDATE %I SET n = 100 * random() %s', t, chosen);
			WHEN 'delete' THEN
				IF n > 1200 THEN EXECUTE format('DELETE FROM %I %s', t, chosen); END IF;
			WHEN 'abort' THEN
				BEGIN
					EXECUTE format('INSERT INTO %I (n, vec) SELECT 100 * random(), vector() FROM generate_series(1, 20)', t);
					EXECUTE format('UPDATE %I SET vec = vector() %s', t, chosen);
					RAISE division_by_zero;
				EXCEPTION WHEN division_by_zero THEN
					NULL;
				END;
		END CASE;
	-- a row may move to another partition while it is looked at
	EXCEPTION WHEN serialization_failure THEN
		NULL;
	END
	$$;

	-- A prepared statement of this session, whose plan knows neither query nor LIMIT.
	CREATE FUNCTION prepared(t text, operator text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM FROM pg_prepared_statements WHERE name = t;
		IF NOT FOUND THEN
			EXECUTE format('PREPARE %I (float8[], bigint, int) AS SELECT 0 AS part, id, vec %s $1 AS x FROM %1$I WHERE n < $3 ORDER BY vec %2$s $1 LIMIT $2',
				t, operator);
		END IF;
		RETURN t;
	END
	$$;

	-- A row of an answer; those of a join have a part for each outer row.
	CREATE TYPE answer AS (part int, id int, x float8);
	CREATE FUNCTION rows_of(query text) RETURNS answer[] LANGUAGE plpgsql AS $$
	DECLARE
		result answer[] := '{}';
		r answer;
	BEGIN
		FOR r IN EXECUTE query LOOP
			result := result || r;
		END LOOP;
		RETURN result;
	END
	$$;
	-- Reads a cursor in steps, to its end if 'n' is NULL.
	CREATE FUNCTION rows_of_cursor(query text, n bigint) RETURNS answer[] LANGUAGE plpgsql AS $$
	DECLARE
		c refcursor;
		result answer[] := '{}';
		r answer;
	BEGIN
		OPEN c NO SCROLL FOR EXECUTE query;
		WHILE n IS NULL OR cardinality(result) < n LOOP
			FETCH c INTO r;
			EXIT WHEN NOT FOUND;
			result := result || r;
		END LOOP;
		CLOSE c;
		RETURN result;
	END
	$$;

	-- How often this transaction has searched an index of vectors, or its partitions.
	CREATE FUNCTION searches(number int) RETURNS bigint VOLATILE LANGUAGE sql AS $$
		SELECT sum(pg_stat_get_xact_numscans(coalesce(i.inhrelid, v.oid)))::bigint
		FROM pg_class v LEFT JOIN pg_inherits i ON i.inhparent = v.oid WHERE v.relname = 'vec_' || number
	$$;

	-- What is wrong with an answer, or NULL.  One that has been read to its end, and only
	-- such a one, may have rows that were found late behind the others: 'late' says of how
	-- many parts with less than 'lim' rows.  Where several scans are merged, their late
	-- rows are not in one run.
	CREATE FUNCTION faults(found answer[], exact answer[], ordered boolean, whole boolean, merged boolean, lim bigint, OUT wrong text, OUT late bigint) LANGUAGE sql AS $$
		WITH f AS (
			SELECT part, id, x, lag(x) OVER w AS before FROM
				(SELECT part, id, coalesce(x, 'NaN') AS x, ordinality FROM unnest(found) WITH ORDINALITY f) f
			WINDOW w AS (PARTITION BY part ORDER BY ordinality)),
		p AS (
			SELECT part, count(*) AS n, count(*) - count(DISTINCT id) AS twice, CASE WHEN ordered THEN count(*) FILTER (WHERE x < before) END AS descents
			FROM f GROUP BY part),
		c AS (
			SELECT sum(twice) AS twice, sum(descents) FILTER (WHERE n >= lim OR (descents > 1 AND NOT merged)) AS descents,
				count(*) FILTER (WHERE n < lim AND descents > 0) AS late FROM p),
		n AS (
			SELECT count(*) AS miscounted FROM p FULL JOIN (SELECT part, count(*) AS n FROM unnest(exact) GROUP BY part) e USING (part)
			WHERE CASE WHEN whole THEN p.n IS DISTINCT FROM e.n ELSE coalesce(p.n, 0) > coalesce(e.n, 0) END)
		SELECT NULLIF(concat_ws(', ', CASE WHEN twice > 0 THEN twice || ' rows twice' END,
			CASE WHEN descents > 0 THEN descents || ' rows out of order' END,
			CASE WHEN miscounted > 0 THEN format('%s rows, not %s', cardinality(found), cardinality(exact)) END), ''), late FROM c, n
	$$;
	-- How many rows are not farther than those that should have been found.
	CREATE FUNCTION hits(found answer[], exact answer[]) RETURNS bigint LANGUAGE sql AS $$
		SELECT count(*) FROM unnest(found) f JOIN
			(SELECT part, max(coalesce(x, 'NaN')) AS farthest FROM unnest(exact) GROUP BY part) e USING (part)
		WHERE coalesce(f.x, 'NaN') <= farthest
	$$;

	-- Settings of this transaction; false if those of the extension are not touched.
	CREATE FUNCTION choose_settings() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		-- as people do who want the index
		IF random() < 0.7 THEN
			SET LOCAL enable_seqscan = off;
			SET LOCAL enable_bitmapscan = off;
			SET LOCAL enable_sort = off;
		END IF;
		IF random() < 0.6 THEN RETURN false; END IF;
		PERFORM set_config(name, CASE name WHEN 'ann.target_recall' THEN one_of(ARRAY['0.5', '0.8', '0.99'])
				ELSE one_of(ARRAY['1', '20', '100', '1000']) END, true)
			FROM pg_settings WHERE name IN ('ann.search_k', 'ann.ef_search', 'ann.target_recall') AND random() < 0.5;
		IF random() < 0.2 THEN SET LOCAL ann.max_limit = 5; END IF;
		RETURN true;
	END
	$$;

	-- kB of this backend: in its memory contexts, but for the topmost, where a table of
	-- the pages it has read grows up to 3 MB; and in all where the system tells
	CREATE FUNCTION note_memory() RETURNS void LANGUAGE sql AS $$
		INSERT INTO memory SELECT pg_backend_pid(), clock_timestamp(), sum(total_bytes) / 1024,
			CASE WHEN (pg_stat_file('/proc/self/status', true)).size IS NOT NULL
			THEN substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint END FROM pg_backend_memory_contexts WHERE name <> 'TopMemoryContext'
	$$;

	-- Asks a table one question: an error if something is wrong with its answer.
	CREATE FUNCTION ask(number int, seed float8) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		l lives;
		t text := 'rows_' || number;
		kind text;
		own boolean;
		distance text;
		filter text;
		condition text := 'true';
		radius float8;
		lim bigint;
		query text;
		exactly text;
		before bigint;
		searched bigint;
		late bigint;
		found answer[];
		exact answer[];
		matching bigint;
		wrong text;
		strange bigint;
	BEGIN
		PERFORM setseed(seed);
		IF random() < 0.1 THEN PERFORM note_memory(); END IF;
		SELECT * INTO l FROM lives WHERE lives.number = ask.number;
		kind := one_of(ARRAY['limit', 'filter', 'offset', 'range', 'range limit', 'range order', 'range filter', 'join', 'prepared', 'cursor', 'end']);
		distance := format('vec %s %L%s', l.operator, vector(), one_of(ARRAY['', '::real[]', '::float8[]', '::numeric[]']));
		filter := one_of(ARRAY['n = 7', 'n < 10', 'n % 3 = 0', 'n >= 50', 'id % 97 = 0', 'vec IS NOT NULL']);
		lim := one_of(ARRAY[1, 5, 10, 10, 50, 200]);
		IF kind ~ 'range' THEN
			EXECUTE format('SELECT x FROM (SELECT (%s) + 0 AS x FROM %I) s ORDER BY x OFFSET %s LIMIT 1', distance, t, floor(300 * random())) INTO radius;
			condition := format('%s %s %L', distance, one_of(ARRAY['<', '<=']), radius);
		END IF;
		IF kind IN ('filter', 'range filter') THEN
			condition := condition || ' AND ' || filter;
		END IF;
		own := choose_settings();

		query := format('SELECT 0, id, %s AS x FROM %I WHERE %s', distance, t, condition);
		CASE kind
			WHEN 'range' THEN NULL;
			WHEN 'range limit' THEN query := query || format(' LIMIT %s', lim);
			WHEN 'range order', 'cursor', 'end' THEN
				query := query || ' ORDER BY ' || distance;
				-- has no index unless it is forced to, and then reads to the end
				lim := CASE WHEN kind = 'end' OR current_setting('enable_seqscan') = 'off' THEN 1e9 ELSE 0 END;
			WHEN 'offset' THEN query := query || format(' ORDER BY %s OFFSET %s LIMIT %s', distance, one_of(ARRAY[1, 10, 100]), lim);
			WHEN 'join' THEN
				condition := one_of(ARRAY['true', 'true', filter]);
				query := format('SELECT q.id, s.id, s.x FROM (SELECT id, vec FROM %I WHERE id %% 101 = %s AND vec IS NOT NULL ORDER BY id LIMIT 5) q,
					LATERAL (SELECT id, vec %s q.vec AS x FROM %1$I WHERE %4$s ORDER BY vec %3$s q.vec LIMIT %5$s) s',
					t, floor(random() * 101), l.operator, condition, lim);
			WHEN 'prepared' THEN
				condition := 'n < ' || one_of(ARRAY['1', '10', '101']);
				query := format('SELECT 0, id, %s AS x FROM %I WHERE %s ORDER BY x LIMIT %s', distance, t, condition, lim);
			ELSE query := query || format(' ORDER BY %s LIMIT %s', distance, lim);
		END CASE;

		before := searches(number);
		CASE kind
			WHEN 'prepared' THEN
				SET LOCAL plan_cache_mode = force_generic_plan;
				found := rows_of(format('EXECUTE %I (%L, %s, %s)', prepared(t, l.operator), substring(distance FROM '\{.*\}'),
					lim, substring(condition FROM '\d+')));
			WHEN 'cursor' THEN
				lim := one_of(ARRAY[1, 10, 100]);
				found := rows_of_cursor(query, lim);
				query := query || format(' LIMIT %s', lim);
			WHEN 'end' THEN found := rows_of_cursor(query, NULL);
			ELSE found := rows_of(query);
		END CASE;
		searched := searches(number) - before;

		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_bitmapscan = on;
		SET LOCAL enable_sort = on;
		SET LOCAL enable_indexscan = off;
		exact := rows_of(query);
		-- where so few rows pass that a scan may reach its end before it has found the
		-- LIMIT, unless the planner knew, rows that are found late make it up; also where
		-- settings have it find few at first
		EXECUTE format('SELECT count(*) FROM %I WHERE %s', t, condition) INTO matching;
		IF own AND condition <> 'true' OR matching <= lim * (CASE WHEN l.parts IS NULL THEN 2 ELSE 4 END) THEN
			lim := 1e9;
		END IF;
		SELECT * INTO wrong, late FROM faults(found, exact, kind NOT IN ('range', 'range limit'), kind !~ 'range', l.parts IS NOT NULL, lim);

		-- the values of the rows themselves
		IF kind = 'join' THEN
			EXECUTE format('SELECT count(*) FROM unnest($1) f LEFT JOIN %I t USING (id) LEFT JOIN %1$I q ON q.id = f.part
				WHERE t.id IS NULL OR q.id IS NULL OR t.vec %s q.vec IS DISTINCT FROM f.x OR f.id NOT IN (SELECT id FROM %1$I WHERE %3$s)',
				t, l.operator, condition) INTO strange USING found;
		ELSE
			EXECUTE format('SELECT count(*) FROM unnest($1) f LEFT JOIN %I t USING (id)
				WHERE t.id IS NULL OR %s IS DISTINCT FROM f.x OR (%s) IS NOT TRUE', t, distance, condition) INTO strange USING found;
		END IF;
		IF wrong IS NOT NULL OR strange > 0 THEN
			RAISE EXCEPTION 'answer of % to "%": %', l.method, kind, concat_ws(', ', wrong, strange || ' strange rows')
				USING DETAIL = query || '; search_k ' || current_setting('ann.search_k') || ', ef_search ' || current_setting('ann.ef_search');
		END IF;
		INSERT INTO answers VALUES (kind, l.method, NOT own, searched, cardinality(exact),
			CASE WHEN kind ~ '^range( limit)?$' THEN cardinality(found) ELSE hits(found, exact) END, late);
	END
	$$;

	DO $$
	DECLARE
		l lives;
	BEGIN
		FOR l IN SELECT * FROM lives ORDER BY number LOOP
			EXECUTE format('CREATE TABLE rows_%s (id serial, n int, vec %s) %s', l.number, l.type, 'PARTITION BY ' || l.parts);
			IF l.parts ~ 'HASH' THEN
				EXECUTE format('CREATE TABLE rows_%s_0 PARTITION OF rows_%1$s FOR VALUES WITH (MODULUS 2, REMAINDER 0)', l.number);
				EXECUTE format('CREATE TABLE rows_%s_1 PARTITION OF rows_%1$s FOR VALUES WITH (MODULUS 2, REMAINDER 1)', l.number);
			ELSIF l.parts ~ 'LIST' THEN
				EXECUTE format('CREATE TABLE rows_%s_0 PARTITION OF rows_%1$s FOR VALUES IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)', l.number);
				EXECUTE format('CREATE TABLE rows_%s_1 PARTITION OF rows_%1$s DEFAULT', l.number);
			END IF;
			EXECUTE format('CREATE INDEX ON rows_%s (id); CREATE INDEX ON rows_%1$s (n)', l.number);
			EXECUTE format('INSERT INTO rows_%s (n, vec) SELECT 100 * random(), CASE WHEN random() < 0.98 THEN vector() END
				FROM generate_series(1, 1500)', l.number);
			EXECUTE format('CREATE INDEX vec_%s ON rows_%1$s USING %s (vec %s) %s', l.number, l.method, l.class, l.options);
		END LOOP;
	END
	$$;
	ANALYZE;
};

# Create the tables and all the rest.
sub setup
{
	my ($node, $seed) = @_;

	$node->safe_psql('postgres', 'SELECT setseed(' . ($seed % 1000) / 1000 . ");\n$setup");
}

# Run the mix in $clients sessions for $seconds, in the background.
sub start
{
	my ($node, $clients, $seconds, $seed) = @_;
	my $dir = $node->basedir;
	my $one = "\\set t random(0, $TABLES - 1)\n\\set s random(1, 1000000)\n";
	# two of these at one table may wait for one another
	my $alone = "SELECT pg_try_advisory_lock(:t)::int AS mine \\gset\n\\if :mine\n%s;\nSELECT pg_advisory_unlock(:t);\n\\endif\n";
	my %scripts = (
		ask => [ 700, "${one}BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT ask(:t, :s / 1000000.0);\nCOMMIT;\n" ],
		change => [ 250, "${one}SELECT change(:t, :s / 1000000.0);\n" ],
		vacuum => [ 40, $one . sprintf($alone, 'VACUUM (ANALYZE) rows_:t') ],
		reindex => [ 4, $one . sprintf($alone, 'REINDEX INDEX vec_:t') ],
		concurrently => [ 6, $one . sprintf($alone, 'REINDEX INDEX CONCURRENTLY vec_:t') ]);
	my @args;
	my $run = {};

	foreach my $name (sort keys %scripts)
	{
		my ($weight, $text) = @{ $scripts{$name} };

		append_to_file("$dir/$name.sql", $text) unless -e "$dir/$name.sql";
		push @args, '-f', "$dir/$name.sql\@$weight";
	}
	$run->{process} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries=100', "--random-seed=$seed", @args,
			'-d', $node->connstr('postgres') ],
		'<', \undef, '>', \$run->{out}, '2>', \$run->{err});
	return $run;
}

1;
