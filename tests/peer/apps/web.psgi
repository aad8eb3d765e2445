# SPDX-License-Identifier: PostgreSQL
# A PSGI application on connections that are opened when the file is loaded, in the master.
use strict;
use warnings;
use DBI;
use JSON::PP;

my $config = decode_json(do {
    open(my $file, '<', $ENV{APP_CONFIG}) or die $!;
    local $/;
    <$file>;
});

sub connect_db {
    my %params = %{$config->{params}};
    my ($user, $password) = delete @params{qw(user password)};
    my $dsn = join(';', map { "$_=$params{$_}" } sort keys %params);
    return DBI->connect("dbi:Pg:$dsn", $user, $password,
        { AutoCommit => 1, RaiseError => 1, PrintError => 0 });
}

my @connections = map { connect_db() } 1 .. $config->{connections};
my @pids = map { 0 + $_->{pg_pid} } @connections;
open(my $list, '>', "$config->{witness}.pids") or die $!;
print $list encode_json(\@pids);
close $list;

sub echo {
    my ($nonce) = @_;
    my $db = shift @connections;
    my $sql = 'select cast(? as text), pg_backend_pid() from pg_sleep(0.002)';
    my @row = eval { $db->selectrow_array($sql, undef, $nonce) };
    my $error = $@;
    push @connections, $error ? connect_db() : $db;
    return { worker => $$, error => (split(/\n/, $error))[0] } if $error;
    return { worker => $$, nonce => $row[0], backend => 0 + $row[1] };
}

my $application = sub {
    my ($env) = @_;
    my ($nonce) = $env->{QUERY_STRING} =~ /nonce=(.*)/;
    my $reply = echo($nonce);
    return [$reply->{error} ? 500 : 200, ['Content-Type' => 'application/json'],
        [encode_json($reply)]];
};
$application;
