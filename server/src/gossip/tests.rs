//! Servers that find each other over real sockets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tarpan_control::servers::{Presence, ServerId};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn how(key: Option<u8>) -> How {
    let keys = key.map(|byte| Key::parse(&STANDARD.encode([byte; 32])).expect("a key")).into_iter().collect();
    How { bind: ([127, 0, 0, 1], 0).into(), advertise: String::new(), keys, keyring: None }
}

async fn server(id: ServerId, how: &How) -> Gossip {
    Gossip::start(how, About { id, name: format!("s{id}"), ..About::default() }).await.expect("starts")
}

async fn sees(gossip: &Gossip, want: &[(ServerId, Presence)]) {
    let mut changes = gossip.changes();
    let seen =
        changes.wait_for(|known| known.iter().map(|k| (k.identity.about.id, k.presence)).eq(want.iter().copied()));
    if timeout(PATIENCE, seen).await.is_err() {
        panic!("wanted {want:?}, there is {:?}", gossip.known());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_find_each_other_and_notice_who_goes() {
    let (one, two, three) =
        (server(1, &how(Some(7))).await, server(2, &how(Some(7))).await, server(3, &how(Some(7))).await);
    // Each knows one other at first.
    assert_eq!(two.join(&one.addr().to_string()).await.expect("joined"), 1);
    assert_eq!(three.join(&two.addr().to_string()).await.expect("joined"), 1);
    let all = [1, 2, 3].map(|id| (id, Presence::Alive));
    for each in [&one, &two, &three] {
        sees(each, &all).await;
    }
    two.say(|about| about.has_state = true).await;
    let told = |known: &Arc<Vec<Known>>| known.iter().any(|k| k.identity.about.id == 2 && k.identity.about.has_state);
    timeout(PATIENCE, one.changes().wait_for(told)).await.expect("in time").expect("gossip goes on");
    three.leave().await;
    drop(two); // without a word
    sees(&one, &[(1, Presence::Alive), (2, Presence::Failed), (3, Presence::Left)]).await;
    let silent = one.known()[1].clone();
    one.gone(&silent, false).await;
    sees(&one, &[(1, Presence::Alive), (2, Presence::Left), (3, Presence::Left)]).await;
    one.gone(&silent, true).await;
    sees(&one, &[(1, Presence::Alive), (3, Presence::Left)]).await;
}

/// As when a cluster is formed: nobody is any more whom the others write to.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_all_change_at_once_hear_of_each_other_still() {
    let (one, two, three) = (server(1, &how(None)).await, server(2, &how(None)).await, server(3, &how(None)).await);
    two.join(&one.addr().to_string()).await.expect("joined");
    three.join(&one.addr().to_string()).await.expect("joined");
    let all = [1, 2, 3].map(|id| (id, Presence::Alive));
    for each in [&one, &two, &three] {
        sees(each, &all).await;
    }
    for round in 0..20 {
        let version = format!("{round}");
        let say = |to: &Gossip| {
            let (to, version) = (to.clone(), version.clone());
            async move { to.say(move |about| about.version = version).await }
        };
        tokio::join!(say(&one), say(&two), say(&three));
        for each in [&one, &two, &three] {
            let told = |known: &Arc<Vec<Known>>| known.iter().all(|k| k.identity.about.version == version);
            timeout(PATIENCE, each.changes().wait_for(told)).await.expect("in time").expect("gossip goes on");
        }
    }
    // And who goes is noticed.
    three.end().await;
    for each in [&one, &two] {
        sees(each, &[(1, Presence::Alive), (2, Presence::Alive), (3, Presence::Failed)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_fit_are_said_at_both_ends() {
    let (one, other, open) =
        (server(1, &how(Some(7))).await, server(2, &how(Some(8))).await, server(3, &how(None)).await);
    let error = |result: Result<usize, JoinError>| result.expect_err("refused").to_string();
    let says = error(other.join(&one.addr().to_string()).await);
    assert!(says.ends_with("encrypted with a key that is not in its keyring"), "{says}");
    let says = error(open.join(&one.addr().to_string()).await);
    assert!(says.ends_with("they are not encrypted, and its `server.encrypt` is set"), "{says}");
    let says = error(one.join(&open.addr().to_string()).await);
    assert!(says.ends_with("they are encrypted, and its `server.encrypt` is not set"), "{says}");
    assert_eq!(one.known().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_known_again_even_when_its_clock_was_set_back() {
    let one = server(1, &how(None)).await;
    let two = server(2, &how(None)).await;
    two.join(&one.addr().to_string()).await.expect("joined");
    sees(&one, &[(1, Presence::Alive), (2, Presence::Alive)]).await;
    let at = How { bind: two.addr(), ..how(None) };
    drop(two);
    sees(&one, &[(1, Presence::Alive), (2, Presence::Failed)]).await;
    let about = About { id: 2, ..About::default() };
    let again = Gossip::start_in_life(&at, about, 5).await.expect("starts");
    assert_eq!(again.join(&one.addr().to_string()).await.expect("joined"), 1);
    sees(&one, &[(1, Presence::Alive), (2, Presence::Alive)]).await;
    sees(&again, &[(1, Presence::Alive), (2, Presence::Alive)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_an_address_is_said_so() {
    let one = server(1, &how(None)).await;
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let error = one.join(&nobody.local_addr().expect("bound").to_string()).await.expect_err("silent");
    assert!(error.to_string().ends_with("no server gossips there, or nothing gets through to it"), "{error}");
    let error = one.join("no.such.name.invalid:4648").await.expect_err("no name");
    assert!(error.to_string().starts_with("no.such.name.invalid:4648: "), "{error}");
    assert_eq!(one.join(&one.addr().to_string()).await.expect("itself"), 0);
}
