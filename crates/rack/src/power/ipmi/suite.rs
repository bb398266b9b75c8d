//! The two cipher suites that encrypt and that boards have (IPMI 2.0, table 22-20): 3 (SHA-1) and 17 (SHA-256),
//! both with AES-CBC-128.

use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

const BLOCK: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    Three,
    Seventeen,
}

impl Suite {
    pub fn number(number: u8) -> Option<Suite> {
        match number {
            3 => Some(Suite::Three),
            17 => Some(Suite::Seventeen),
            _ => None,
        }
    }

    /// Numbers of authentication, integrity and confidentiality algorithm.
    pub fn algorithms(self) -> [u8; 3] {
        match self {
            Suite::Three => [1, 1, 1],
            Suite::Seventeen => [3, 4, 1],
        }
    }

    /// Bytes of a whole authentication code.
    pub fn code_bytes(self) -> usize {
        match self {
            Suite::Three => 20,
            Suite::Seventeen => 32,
        }
    }

    /// Bytes that remain of one in the trailer of a packet, and in the last message of the handshake.
    pub fn check_bytes(self) -> usize {
        match self {
            Suite::Three => 12,
            Suite::Seventeen => 16,
        }
    }

    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Suite::Three => code(Hmac::<Sha1>::new_from_slice(key).ok(), parts),
            Suite::Seventeen => code(Hmac::<Sha256>::new_from_slice(key).ok(), parts),
        }
    }

    /// Whether `said` is the beginning of the code for these parts, told in constant time.
    pub fn proves(self, key: &[u8], parts: &[&[u8]], said: &[u8]) -> bool {
        match self {
            Suite::Three => tells(Hmac::<Sha1>::new_from_slice(key).ok(), parts, said, self.check_bytes()),
            Suite::Seventeen => {
                tells(Hmac::<Sha256>::new_from_slice(key).ok(), parts, said, self.check_bytes())
            }
        }
    }
}

/// HMAC takes a key of any length, so there is always one.
fn code<M: Mac>(mac: Option<M>, parts: &[&[u8]]) -> Vec<u8> {
    let Some(mut mac) = mac else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn tells<M: Mac>(mac: Option<M>, parts: &[&[u8]], said: &[u8], least: usize) -> bool {
    let Some(mut mac) = mac else { return false };
    for part in parts {
        mac.update(part);
    }
    said.len() >= least && mac.verify_truncated_left(said).is_ok()
}

/// Random start, then the payload with its padding (1, 2, 3, …, and how many), encrypted.
pub(super) fn encrypt(key: &[u8; BLOCK], start: [u8; BLOCK], payload: &[u8]) -> Vec<u8> {
    let mut body = payload.to_vec();
    let padding = (BLOCK - (payload.len() + 1) % BLOCK) % BLOCK;
    body.extend((1..=padding).map(|n| n as u8));
    body.push(padding as u8);
    let bytes = body.len();
    let done = cbc::Encryptor::<Aes128>::new(key.into(), &start.into())
        .encrypt_padded_mut::<NoPadding>(&mut body, bytes)
        .is_ok();
    debug_assert!(done, "the body is whole blocks");
    [start.as_slice(), &body].concat()
}

/// `None` for what was not encrypted so.
pub(super) fn decrypt(key: &[u8; BLOCK], sealed: &[u8]) -> Option<Vec<u8>> {
    let (start, body) = sealed.split_first_chunk::<BLOCK>()?;
    let mut body = body.to_vec();
    cbc::Decryptor::<Aes128>::new(key.into(), start.into())
        .decrypt_padded_mut::<NoPadding>(&mut body)
        .ok()?;
    let padding = usize::from(*body.last()?);
    body.truncate(body.len().checked_sub(padding + 1)?);
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_again() {
        for bytes in 0..70 {
            let plain: Vec<u8> = (0..bytes).collect();
            let sealed = encrypt(&[7; 16], [9; 16], &plain);
            assert_eq!(sealed.len() % BLOCK, 0);
            assert_eq!(decrypt(&[7; 16], &sealed), Some(plain));
        }
        assert_eq!(decrypt(&[7; 16], &[0; 15]), None);
        assert_eq!(decrypt(&[7; 16], &[0; 16]), None);
        assert_eq!(decrypt(&[7; 16], &[0; 17]), None);
    }

    #[test]
    fn a_code_is_proven_by_enough_of_its_beginning() {
        for suite in [Suite::Three, Suite::Seventeen] {
            let code = suite.mac(b"key", &[b"one", b"two"]);
            assert_eq!(code.len(), suite.code_bytes());
            assert!(suite.proves(b"key", &[b"onetwo"], &code));
            assert!(suite.proves(b"key", &[b"onetwo"], &code[..suite.check_bytes()]));
            assert!(!suite.proves(b"key", &[b"onetwo"], &code[..4]));
            assert!(!suite.proves(b"key", &[b"onetwo"], b""));
            assert!(!suite.proves(b"other", &[b"onetwo"], &code));
        }
    }
}
