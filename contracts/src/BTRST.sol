// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {ERC6372Utils} from "@openzeppelin/contracts/utils/ERC6372Utils.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title BTRST, the token of the BTRST Network
/// @notice OpenZeppelin's ERC-20 with permit, votes by timestamp and a cap of 250,000,000 tokens. Added here:
/// a packed mint for the rewards minter, and locks in place, which hold tokens back from leaving an account
/// while the account keeps their votes.
/// @dev Amounts are in wei, 10^-18 BTRST.
contract BTRST is ERC20, ERC20Capped, ERC20Permit, ERC20Votes, AccessControl {
    /// @notice One holder of the genesis allocation.
    struct Allocation {
        address account;
        uint256 amount;
    }

    /// @notice May mint through `mintPacked`. Held by the rewards minter alone.
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");
    /// @notice May lock, unlock and seize. Held by at most one account, see `appointLocker`.
    bytes32 public constant LOCKER_ROLE = keccak256("LOCKER_ROLE");

    /// @notice No more than this can ever exist.
    uint256 public constant MAX_SUPPLY = 250_000_000e18;
    /// @notice Minted in the constructor. The other 135,000,000 can only be earned.
    uint256 public constant GENESIS_SUPPLY = 115_000_000e18;
    /// @notice Votes delegated here are cast by nobody and left out of the quorum.
    address public constant NON_VOTING = 0x000000000000000000000000000000000000dEaD;

    /// @notice Holds what the genesis allocations leave; never votes.
    address public immutable treasury;
    /// @notice The one holder of LOCKER_ROLE, or zero.
    address public locker;
    /// @notice Wei of an account that cannot leave it.
    mapping(address account => uint256) public locked;

    event LockerAppointed(address indexed previous, address indexed current);
    event Locked(address indexed account, uint256 amount, uint256 total);
    event Unlocked(address indexed account, uint256 amount, uint256 total);
    event Seized(address indexed account, address indexed to, uint256 amount, uint256 total);

    error BTRSTLocked(address account, uint256 balance, uint256 locked, uint256 needed);
    error BTRSTUnlockTooMuch(address account, uint256 locked, uint256 asked);
    error BTRSTTreasuryNeverVotes();
    error BTRSTEmptyWord(uint256 index);
    error BTRSTZeroAddress();

    /// @param admin the timelock: the only holder of DEFAULT_ADMIN_ROLE, from the first block on
    /// @param minter the rewards minter, whose address is known before it is deployed
    /// @param treasury_ gets what `allocations` leave of GENESIS_SUPPLY
    constructor(address admin, address minter, address treasury_, Allocation[] memory allocations)
        ERC20("BTRST", "BTRST")
        ERC20Permit("BTRST")
        ERC20Capped(MAX_SUPPLY)
    {
        require(admin != address(0) && minter != address(0) && treasury_ != address(0), BTRSTZeroAddress());
        treasury = treasury_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(MINTER_ROLE, minter);
        super._delegate(treasury_, NON_VOTING);
        uint256 left = GENESIS_SUPPLY;
        for (uint256 i = 0; i < allocations.length; ++i) {
            left -= allocations[i].amount;
            _mint(allocations[i].account, allocations[i].amount);
        }
        _mint(treasury_, left);
    }

    /// @notice Mints many amounts at the price of few. The logs are those of mints. Source: EIP-20.
    /// @param packed one word per recipient: the account in the high 160 bits, the wei, never 0, in the low 96
    /// @return sum the wei minted
    /// @dev Each word is what ERC20Capped and ERC20Votes make of a mint, but for what they do once for all of them
    /// here: the cap is checked, and the supply of votes gets its checkpoint, when all is minted. The token, which can
    /// delegate to nobody, stands there for the recipients, whose delegates have their votes by then.
    function mintPacked(bytes32[] calldata packed) external onlyRole(MINTER_ROLE) returns (uint256 sum) {
        unchecked {
            // 2^96 per word: no calldata is long enough to overflow.
            for (uint256 i = 0; i < packed.length; ++i) {
                uint256 word = uint256(packed[i]);
                uint256 amount = uint96(word);
                require(amount != 0, BTRSTEmptyWord(i));
                address account = address(uint160(word >> 96));
                require(account != address(0), ERC20InvalidReceiver(account));
                ERC20._update(address(0), account, amount);
                address delegatee = Votes.delegates(account);
                if (delegatee != address(0)) _moveDelegateVotes(address(0), delegatee, amount);
                sum += amount;
            }
        }
        uint256 supply = totalSupply();
        require(supply <= cap(), ERC20ExceededCap(supply, cap()));
        _transferVotingUnits(address(0), address(this), sum);
    }

    /// @notice Gives LOCKER_ROLE to `next` and takes it from the previous holder. Zero leaves it to nobody.
    function appointLocker(address next) external onlyRole(DEFAULT_ADMIN_ROLE) {
        emit LockerAppointed(locker, next);
        if (locker != address(0)) _revokeRole(LOCKER_ROLE, locker);
        if (next != address(0)) _grantRole(LOCKER_ROLE, next);
        locker = next;
    }

    /// @notice Holds `amount` more wei back in `account`, which must own them free of other locks.
    function lock(address account, uint256 amount) external onlyRole(LOCKER_ROLE) {
        uint256 total = locked[account] + amount;
        uint256 balance = balanceOf(account);
        require(total <= balance, BTRSTLocked(account, balance, locked[account], amount));
        locked[account] = total;
        emit Locked(account, amount, total);
    }

    /// @notice Sets `amount` wei of `account` free again.
    function unlock(address account, uint256 amount) external onlyRole(LOCKER_ROLE) {
        emit Unlocked(account, amount, _release(account, amount));
    }

    /// @notice Moves `amount` locked wei of `account` to `to`.
    function seize(address account, address to, uint256 amount) external onlyRole(LOCKER_ROLE) {
        emit Seized(account, to, amount, _release(account, amount));
        _transfer(account, to, amount);
    }

    /// @inheritdoc Votes
    /// @dev Two accounts that can never delegate are not looked up: each mint would pay for it.
    function delegates(address account) public view override returns (address) {
        return account == address(0) || account == address(this) ? address(0) : super.delegates(account);
    }

    /// @inheritdoc Votes
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    /// @inheritdoc Votes
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public view override returns (string memory) {
        return ERC6372Utils.timestampClockMode(clock);
    }

    /// @inheritdoc ERC20Permit
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _release(address account, uint256 amount) private returns (uint256 total) {
        uint256 held = locked[account];
        require(amount <= held, BTRSTUnlockTooMuch(account, held, amount));
        total = held - amount;
        locked[account] = total;
    }

    /// @dev The treasury's votes stay where the constructor put them.
    function _delegate(address account, address delegatee) internal override {
        require(account != treasury, BTRSTTreasuryNeverVotes());
        super._delegate(account, delegatee);
    }

    function _update(address from, address to, uint256 value)
        internal
        override(ERC20, ERC20Capped, ERC20Votes)
    {
        if (from != address(0)) {
            uint256 held = locked[from];
            if (held != 0) {
                uint256 balance = balanceOf(from);
                // A balance below the value is the plain ERC-20 error, given further down.
                if (balance >= value && balance - value < held) {
                    revert BTRSTLocked(from, balance, held, value);
                }
            }
        }
        super._update(from, to, value);
    }
}
