--
-- questions.sql
--	  Questions to the table docs (see texts.sql), and their nearest texts.
--
-- Takes the variable methods: access methods to try, separated by blanks.
--

CREATE TABLE questions AS
	SELECT n, question, embed(question) AS vec
	FROM unnest(ARRAY[
		'turn text into upper case',
		'how many rows does a table have',
		'memory used for sorting',
		'random number',
		'what time is it now',
		'size of a database on disk',
		'cancel a running query',
		'is this server a standby',
		'remove blanks from both ends of a string'
	]) WITH ORDINALITY AS q(question, n);

SELECT line
FROM questions, LATERAL (
	SELECT 0, format(E'\n%s  (%s ms)', question, short(median_ms(nearest('docs', '<=>', 3), vec)))
	UNION ALL
	(SELECT row_number() OVER (), left(format('  %s  %s: %s', short(distance), what, text), 96)
	FROM (
		SELECT docs.vec <=> questions.vec AS distance, what, text
		FROM docs
		ORDER BY docs.vec <=> questions.vec
		LIMIT 3
	) AS found)
) AS answers(rank, line)
ORDER BY n, rank;

\echo
\echo 'The plan of these searches, SELECT ... FROM docs ORDER BY vec <=> $1 LIMIT 3:'
SELECT line FROM questions, plan(nearest('docs', '<=>', 3), vec) AS line WHERE n = 1;

CALL hold_out('docs');
VACUUM docs;
SELECT compare('docs', '<=>', 'real_cosine_ops', string_to_array(:'methods', ' '));
