# SPDX-License-Identifier: PostgreSQL
# fork_once.py for Perl: a parent in a transaction forks; the child does one thing to the
# inherited connection. usage: fork_once.pl ACTION    prints one JSON object
use strict;
use warnings;
use DBI;
use JSON::PP;

my $mark = 'set before the fork';

sub slurp {
    my ($path) = @_;
    open(my $file, '<', $path) or return '{}';
    local $/;
    return <$file>;
}

my $config = decode_json(slurp($ENV{APP_CONFIG}));

sub connect_db {
    my %params = %{$config->{params}};
    my ($user, $password) = delete @params{qw(user password)};
    my $dsn = join(';', map { "$_=$params{$_}" } sort keys %params);
    return DBI->connect("dbi:Pg:$dsn", $user, $password,
        { AutoCommit => 0, RaiseError => 1, PrintError => 0 });
}

sub one {
    my ($db, $sql) = @_;
    return ($db->selectrow_array($sql))[0];
}

sub backend { return 0 + one($_[0], 'select pg_backend_pid()') }

sub first_line { return (split(/\n/, $_[0]))[0] }

sub act {
    my ($db, $action) = @_;
    return { backend => backend($db) } if $action eq 'query';
    $db->disconnect if $action eq 'close';
    return {};
}

# The child ends as Perl programs do: every handle it still has is destroyed, which disconnects.
sub child {
    my ($db, $action) = @_;
    my $report = eval { act($db, $action) } || { error => first_line($@) };
    my $own = connect_db();
    $report->{own} = backend($own);
    $own->disconnect;
    open(my $file, '>', $config->{file}) or die $!;
    print $file encode_json($report);
    close $file;
    exit 0;
}

my $db = connect_db();
my $result = { before => backend($db) };
one($db, "select set_config('peer.mark', '$mark', true)");
my $pid = fork();
if ($pid == 0) {
    alarm 10;
    child($db, $ARGV[0]);
}
waitpid($pid, 0);
$result->{child} = { %{decode_json(slurp($config->{file}))}, status => $? };
eval {
    $result->{after} = backend($db);
    my $found = one($db, q{select current_setting('peer.mark', true)});
    $result->{mark} = $found eq $mark ? JSON::PP::true : JSON::PP::false;
    $db->commit;
    1;
} or $result->{error} = first_line($@);
print encode_json($result), "\n";
