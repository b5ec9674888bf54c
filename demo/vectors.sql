--
-- vectors.sql
--	  Searches in the table vectors(id, vec), which came from a file.
--
-- Takes the variable methods: access methods to try, separated by blanks.
--

SELECT format('%s rows of %s dimensions, %s with what belongs to the table.', to_char(count(*), 'FM999,999,999,999'),
	max(cardinality(vec)), pg_size_pretty(pg_total_relation_size('vectors'))) FROM vectors;

CALL hold_out('vectors');
VACUUM vectors;

\echo
\echo 'Some rows were taken out of it to be queries.  Their nearest rows by <->, and the distances:'
\echo
SELECT string_agg(line, E'\n' ORDER BY id)
FROM (SELECT * FROM queries ORDER BY id LIMIT 5) AS q, LATERAL (
	SELECT format('  %s (%s ms):  ', q.id, short(median_ms(nearest('vectors', '<->', 4), q.vec, 5))) ||
		string_agg(format('%s (%s)', id, short(distance)), ', ' ORDER BY distance, id)
	FROM (
		SELECT id, vec <-> q.vec AS distance FROM vectors ORDER BY vec <-> q.vec LIMIT 4
	) AS found
) AS answers(line);

\echo
\echo 'The plan of these searches, SELECT ... FROM vectors ORDER BY vec <-> $1 LIMIT 4:'
SELECT line FROM (SELECT vec FROM queries LIMIT 1) AS q, plan(nearest('vectors', '<->', 4), vec) AS line;

SELECT compare('vectors', '<->', 'real_l2_ops', string_to_array(:'methods', ' '));
